// One Attachment within the visit of its Volume.
import type { Attachment } from '../../api/attachment.ts';
import { ATTACHMENTS, VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { hostViews, isOnLostServer, volumeKeyOf } from '../caches.ts';
import { addFinalizer, removeFinalizer, tell, type VisitContext, type Visited } from '../visit.ts';
import { mayForget, planAttachment } from './plan.ts';
import { type AttachmentScene, attachmentClaims } from './status.ts';

/** The Volume holds a grant which the cache does not show yet: it will soon. */
const LOOK_AGAIN_MS = 1_000;

export async function visitAttachment(attachment: Attachment, context: VisitContext): Promise<Visited> {
  const { deps, log } = context;
  const { caches } = deps;
  const key = volumeKeyOf(attachment);
  const scene: AttachmentScene = {
    attachment,
    volume: caches.volumes.get(key),
    siblings: caches.attachments.byIndex('volume', key),
    hypervisors: hostViews(caches.hypervisors, caches.heartbeats),
    servers: hostViews(caches.servers, caches.heartbeats),
    lost: isOnLostServer(attachment, caches),
  };
  const plan = planAttachment(scene);
  const subject = { resource: ATTACHMENTS, object: attachment, cache: caches.attachments };
  if (plan.kind === 'add-finalizer') {
    return addFinalizer(subject, context);
  }
  if (plan.kind === 'remove-finalizer') {
    return (await mayForgetLive(scene, context))
      ? removeFinalizer(subject, context)
      : { kind: 'settled', afterMs: LOOK_AGAIN_MS };
  }
  if (plan.kind === 'write') {
    log.info({ attachment: attachment.metadata.name, why: plan.why }, 'Writing the Attachment');
  }
  const change = plan.kind === 'write' ? plan.change : {};
  const after = { ...attachment, status: { ...attachment.status, ...change } };
  return tell(
    subject,
    { fields: { ...change }, claims: attachmentClaims({ ...scene, attachment: after }) },
    context,
  );
}

/** Irreversible, so the Volume is read live: the cached copy may be older than a grant. */
async function mayForgetLive(
  { attachment, lost }: AttachmentScene,
  { deps, signal }: VisitContext,
): Promise<boolean> {
  const { namespace } = attachment.metadata;
  const ref = { name: attachment.spec.volumeRef.name, ...(namespace === undefined ? {} : { namespace }) };
  const volume = await deps.api.get<Volume>(VOLUMES, ref, { signal });
  return mayForget({ attachment, volume, lost });
}
