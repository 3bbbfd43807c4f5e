// What a person reads on an Attachment. Computed from the same look at the world as the plan.
import {
  type Attachment,
  connectionAt,
  type ExportFact,
  exportAt,
  instanceLabel,
} from '../../api/attachment.ts';
import type { Claim } from '../../api/conditions.ts';
import type { HostView, VolumeServer } from '../../api/hosts.ts';
import type { ConditionType, Reason } from '../../api/reasons.ts';
import { type Grant, grantFor, grantsOf, isDeleting, isUnclaimed, pinsOf } from '../../api/volume.ts';
import { bind } from '../binding.ts';
import { doubt, factSource, no, silence, summarized, told, unheardServer, yes } from '../claims.ts';
import { isUsable } from '../volume/plan.ts';
import type { AttachmentWorld } from './plan.ts';

export interface AttachmentScene extends AttachmentWorld {
  readonly servers: readonly HostView<VolumeServer>[];
  /** All Attachments of the volume, to name the one that holds it. */
  readonly siblings: readonly Attachment[];
}

interface Step {
  readonly host: string | undefined;
  readonly reason: Reason;
  readonly message: string;
}

/** The problem which the host reports, else that the step is under way. */
const behind = (
  type: ConditionType,
  problem: ExportFact['problem'],
  { host, reason, message }: Step,
): Claim =>
  problem === undefined ? no(type, reason, message) : { type, status: 'False', ...told(problem, host) };

const NO_GRANT = 'there is no grant; see the condition Admitted';

function admitted(scene: AttachmentScene, grant: Grant | undefined): Claim {
  const { attachment, volume, siblings, hypervisors } = scene;
  const type = 'Admitted';
  if (grant !== undefined) {
    return yes(type, 'Granted', `grant ${grant.epoch} on ${grant.hypervisor}`);
  }
  const { name } = attachment.spec.volumeRef;
  if (volume === undefined) {
    return no(type, 'VolumeNotFound', `there is no Volume ${name} in this namespace yet; create it`);
  }
  const { volumeUID } = attachment.status ?? {};
  if (volumeUID !== undefined && volumeUID !== volume.metadata.uid) {
    return no(
      type,
      'VolumeReplaced',
      `Volume ${name} was deleted and made anew; delete this Attachment and create another`,
    );
  }
  if (isDeleting(volume)) {
    return no(
      type,
      'VolumeDeleting',
      `Volume ${name} is being deleted; delete this Attachment, or make a new Volume of that name afterwards`,
    );
  }
  const [held] = grantsOf(volume);
  if (held !== undefined) {
    return no(type, 'VolumeInUse', `Volume ${name} is held by ${holderOf(held, siblings)}`);
  }
  const copy = pinsOf(volume).find(({ still }) => still === true);
  if (copy !== undefined) {
    return no(
      type,
      'BeingCopied',
      `Volume ${name} is being copied for ${copy.kind} ${copy.name}; this Attachment follows when that is done`,
    );
  }
  if (!isUsable(volume)) {
    return no(type, 'VolumeNotReady', `Volume ${name} is not ready; see its Ready condition`);
  }
  const binding = bind(attachment, hypervisors);
  return binding.kind === 'waiting'
    ? no(type, binding.reason, binding.message)
    : no(type, 'WaitingForVolume', `waiting for Volume ${name}`);
}

function holderOf(held: Grant, siblings: readonly Attachment[]): string {
  const { hypervisor } = held;
  if (isUnclaimed(held)) {
    return `${hypervisor} for an Attachment that is gone; attach it to a VM there, and delete that Attachment, or fence ${hypervisor}`;
  }
  const holder = siblings.find(({ metadata }) => held.attachments.includes(metadata.uid));
  const by = holder === undefined ? hypervisor : `Attachment ${holder.metadata.name}`;
  return `${by}; this Attachment follows when it is free`;
}

function exported({ attachment, servers, lost }: AttachmentScene, grant: Grant | undefined): Claim {
  const type = 'Exported';
  const fact = grant === undefined ? undefined : exportAt(attachment, grant.epoch);
  if (grant === undefined) {
    return no(type, 'NotAdmitted', NO_GRANT);
  }
  const { server } = attachment.status ?? {};
  if (lost) {
    return no(
      type,
      'ServerLost',
      `volume server ${server} is lost (spec.lost), and the data with it; delete this Attachment`,
    );
  }
  const source = factSource(server, servers);
  const step: Step = { host: server, reason: 'Exporting', message: `${server} opens the target` };
  if (fact === undefined) {
    return silence(type, source) ?? no(type, step.reason, step.message);
  }
  if (fact.state === 'Withdrawn') {
    return no(type, 'Withdrawn', 'the target is closed to this grant');
  }
  const doubts = doubt(type, source, fact.bootID);
  if (doubts !== undefined || fact.state === undefined) {
    return doubts ?? behind(type, fact.problem, step);
  }
  return yes(type, 'Exported', `${fact.iqn} at ${fact.portals?.join(', ')}`);
}

/** Connected and Attached, from the same fact. */
function connected(
  { attachment, hypervisors }: AttachmentScene,
  grant: Grant | undefined,
): readonly [Claim, Claim] {
  const both = (make: (type: ConditionType) => Claim): readonly [Claim, Claim] => [
    make('Connected'),
    make('Attached'),
  ];
  const fact = grant === undefined ? undefined : connectionAt(attachment, grant.epoch);
  if (grant === undefined) {
    return both((type) => no(type, 'NotAdmitted', NO_GRANT));
  }
  const { hypervisor: host } = grant;
  const source = factSource(host, hypervisors);
  const step: Step = { host, reason: 'Attaching', message: `${host} plugs the disk in` };
  if (fact === undefined) {
    return both((type) => silence(type, source) ?? no(type, step.reason, step.message));
  }
  if (fact.state === 'Released') {
    return both((type) => no(type, 'Released', `${host} has given the disk up`));
  }
  const silent = doubt('Connected', source, fact.bootID);
  if (silent !== undefined) {
    return both((type) => ({ ...silent, type }));
  }
  if (fact.state === undefined) {
    return both((type) => behind(type, fact.problem, step));
  }
  const label = `${fact.device ?? 'disk'} of ${instanceLabel(attachment)} on ${host}`;
  return [
    yes('Connected', 'Connected', `${host} is logged in`),
    fact.state === 'Attached' ? yes('Attached', 'Attached', label) : behind('Attached', fact.problem, step),
  ];
}

/** Claimed only for a grant which is cut off. */
function fenced({ attachment, servers }: AttachmentScene, grant: Grant | undefined): Claim[] {
  if (grant?.state !== 'Fencing') {
    return [];
  }
  return exportAt(attachment, grant.epoch)?.state === 'Withdrawn'
    ? [yes('Fenced', 'Fenced', `${grant.hypervisor} is cut off at the target`)]
    : [no('Fenced', 'Fencing', cutting(grant, { attachment, servers }))];
}

function cutting(
  { hypervisor }: Grant,
  { attachment: { status }, servers }: Pick<AttachmentScene, 'attachment' | 'servers'>,
): string {
  return `waiting until ${hypervisor} is cut off by ${status?.server}${unheardServer(status?.server, servers)}`;
}

function detaching(
  { attachment, hypervisors, servers }: AttachmentScene,
  grant: Grant | undefined,
): Omit<Claim, 'type'> {
  const status = 'False';
  const { server } = attachment.status ?? {};
  const closing = `waiting until the target is closed by ${server}${unheardServer(server, servers)}`;
  if (grant === undefined) {
    const message = server === undefined ? 'it was attached nowhere, and goes now' : closing;
    return { status, reason: 'Detaching', message };
  }
  const fact = connectionAt(attachment, grant.epoch);
  if (fact?.state !== 'Released') {
    const view = hypervisors.find(({ host }) => host.metadata.name === grant.hypervisor);
    if (view?.freshness !== 'fresh' && view?.freshness !== 'unknown' && grant.state !== 'Fencing') {
      const how = 'bring it back, or set spec.detachPolicy: Fence to cut it off';
      return {
        status,
        reason: 'HypervisorSilent',
        message: `waiting for ${grant.hypervisor}, which does not answer; ${how}`,
      };
    }
    if (fact?.problem !== undefined) {
      return { status, ...told(fact.problem, grant.hypervisor) };
    }
    const message =
      grant.state === 'Fencing'
        ? cutting(grant, { attachment, servers })
        : `waiting until ${grant.hypervisor} has given the disk up`;
    return { status, reason: 'Detaching', message };
  }
  const problem = exportAt(attachment, grant.epoch)?.problem;
  return problem === undefined
    ? { status, reason: 'Detaching', message: closing }
    : { status, ...told(problem, server) };
}

export function attachmentClaims(scene: AttachmentScene): readonly Claim[] {
  const grant = grantFor(scene.volume, scene.attachment.metadata.uid);
  const stages = [
    admitted(scene, grant),
    exported(scene, grant),
    ...connected(scene, grant),
    ...fenced(scene, grant),
  ];
  if (isDeleting(scene.attachment)) {
    return summarized(stages, detaching(scene, grant));
  }
  const late = stages.find(({ type, status }) => type !== 'Fenced' && status !== 'True');
  const { status, reason, message } = late ?? yes('Ready', 'Attached', stages[3]?.message ?? '');
  return summarized(stages, { status, reason, message });
}
