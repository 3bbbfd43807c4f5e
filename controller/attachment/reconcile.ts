// One Attachment within the visit of its Volume.
import type { Attachment } from '../../api/attachment.ts';
import { FINALIZER, MANAGERS } from '../../api/names.ts';
import { ATTACHMENTS, VOLUMES } from '../../api/resources.ts';
import { isDeleting, type Volume } from '../../api/volume.ts';
import { patchFinalizers } from '../../runtime/patch.ts';
import { hostViews, volumeKeyOf } from '../caches.ts';
import type { VisitContext, Visited } from '../volume/reconcile.ts';
import { mayForget, planAttachment } from './plan.ts';
import { type AttachmentScene, attachmentClaims } from './status.ts';

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
  };
  const plan = planAttachment(scene);
  if (plan.kind === 'add-finalizer') {
    return keepFinalizers(attachment, [...(attachment.metadata.finalizers ?? []), FINALIZER], context);
  }
  if (plan.kind === 'remove-finalizer') {
    return forget(attachment, context);
  }
  if (plan.kind === 'write') {
    log.info({ attachment: attachment.metadata.name, why: plan.why }, 'Writing the Attachment');
  }
  const change = plan.kind === 'write' ? plan.change : {};
  const after = { ...attachment, status: { ...attachment.status, ...change } };
  const reported = await deps.reporter.report({
    resource: ATTACHMENTS,
    object: attachment,
    fields: { ...change },
    claims: attachmentClaims({ ...scene, attachment: after }),
  });
  switch (reported.kind) {
    case 'written':
      caches.attachments.written(reported.object);
      return { kind: 'again' };
    case 'held-back':
      return { kind: 'settled', afterMs: reported.forMs };
    default:
      return { kind: 'settled', afterMs: deps.resyncMs };
  }
}

/** Irreversible, so the Volume is read live: the cached copy may be older than a grant. */
async function forget(attachment: Attachment, context: VisitContext): Promise<Visited> {
  const { deps, log, signal } = context;
  const { namespace, finalizers } = attachment.metadata;
  const ref = { name: attachment.spec.volumeRef.name, ...(namespace === undefined ? {} : { namespace }) };
  const live = await deps.api.get<Volume>(VOLUMES, ref, { signal });
  if (!mayForget(attachment, live) || !isDeleting(attachment)) {
    return { kind: 'settled', afterMs: 1_000 };
  }
  log.info({ attachment: attachment.metadata.name }, 'Letting the Attachment go');
  return keepFinalizers(attachment, finalizers?.filter((one) => one !== FINALIZER) ?? [], context);
}

async function keepFinalizers(
  attachment: Attachment,
  finalizers: readonly string[],
  { deps }: VisitContext,
): Promise<Visited> {
  const object = await patchFinalizers<Attachment>(deps.api, {
    resource: ATTACHMENTS,
    object: attachment,
    finalizers,
    fieldManager: MANAGERS.controller,
  });
  if (object === undefined || !finalizers.includes(FINALIZER)) {
    deps.reporter.forget(ATTACHMENTS, attachment);
    return { kind: 'settled', afterMs: deps.resyncMs };
  }
  deps.caches.attachments.written(object);
  return { kind: 'again' };
}
