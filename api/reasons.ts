// Every reason a condition or an event can carry. Public API: programs branch on them, and a person looks them up in
// docs/reference/conditions.md, which is made from this table.
import { CLAIMS } from './reasons/claims.ts';
import { COPIES } from './reasons/copies.ts';
import type { ReasonInfo } from './reasons/info.ts';
import { PROBLEMS } from './reasons/problems.ts';
import { RETENTION } from './reasons/retention.ts';

export type { ReasonInfo } from './reasons/info.ts';

const table = { ...CLAIMS, ...COPIES, ...PROBLEMS, ...RETENTION };

export type Reason = keyof typeof table;

export const REASONS: Readonly<Record<Reason, ReasonInfo>> = table;

/** Undefined for what a host of another version says. */
export const infoOf = (reason: string): ReasonInfo | undefined =>
  Object.hasOwn(REASONS, reason) ? REASONS[reason as Reason] : undefined;

/** Reasons of events that are no condition's, on the host's Lease. */
export const EVENTS_ONLY = {
  DuplicateHost: {
    meaning: 'Two machines act as one host, as after cloning one: the second does nothing.',
    remedy:
      'stop one of them; give it a machine-id, a name and an identity of its own. A host whose disk was restored from a copy takes the place of the one that it was when its Lease is deleted',
  },
} as const;

/** Condition types: on which kinds, and what True says. */
export const CONDITIONS = {
  Ready: {
    kinds: ['Volume', 'Snapshot', 'Attachment', 'VolumeServer', 'Hypervisor'],
    meaning: 'It can be used. Else the reason is that of the first stage which is not True.',
  },
  Reconciling: {
    kinds: ['Volume', 'Snapshot', 'Attachment'],
    meaning: 'Something is under way or waited for (kstatus).',
  },
  Stalled: {
    kinds: ['Volume', 'Snapshot', 'Attachment'],
    meaning: 'Nothing goes on before a person changes something (kstatus).',
  },
  Placed: { kinds: ['Volume'], meaning: 'A server and a pool were chosen.' },
  Provisioned: { kinds: ['Volume'], meaning: 'The data is complete on its server.' },
  Resized: {
    kinds: ['Volume'],
    meaning: 'Shown only while the size wanted is above the size allocated; then False.',
  },
  Created: { kinds: ['Snapshot'], meaning: 'The copy is complete on its server.' },
  Healthy: { kinds: ['Snapshot'], meaning: 'Its server sees the copy, and nothing stands against it.' },
  Admitted: { kinds: ['Attachment'], meaning: 'The Volume is granted to the hypervisor.' },
  Exported: { kinds: ['Attachment'], meaning: 'The target is open to the hypervisor.' },
  Connected: { kinds: ['Attachment'], meaning: 'The hypervisor is logged in.' },
  Attached: { kinds: ['Attachment'], meaning: 'The disk was seen in the running VM.' },
  Fenced: { kinds: ['Attachment'], meaning: 'Shown only for a grant that is cut off: the cut is complete.' },
  HostSafe: {
    kinds: ['VolumeServer', 'Hypervisor'],
    meaning: 'Nothing stands against placing and granting there.',
  },
} as const;

export type ConditionType = keyof typeof CONDITIONS;
