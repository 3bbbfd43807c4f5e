// Snapshots, and what is made from a Snapshot or a Volume.
import { NOTHING, type ReasonInfo, STEP_MS, WAIT } from './info.ts';

const C = ['C'] as const;

export const COPIES = {
  Created: {
    by: C,
    on: ['Created', 'Ready'],
    meaning: 'The snapshot is complete on its server.',
    remedy: NOTHING,
  },
  Healthy: { by: C, on: ['Healthy'], meaning: 'Its server sees the snapshot now.', remedy: NOTHING },
  NotCreated: {
    by: C,
    on: ['Healthy'],
    meaning: 'The snapshot is not made yet.',
    remedy: 'see the condition Created',
  },
  Copying: {
    by: C,
    on: ['Provisioned', 'Created'],
    meaning: 'The server copies the data of the source.',
    remedy: WAIT,
    waits: true,
    passesMs: STEP_MS,
  },
  BeingCopied: {
    by: C,
    on: ['Admitted'],
    meaning: 'The Volume is being copied, and stays unused until that is done.',
    remedy: WAIT,
    waits: true,
  },
  Pinned: {
    by: C,
    on: ['Ready'],
    meaning: 'It is deleted, and something is still being made from it, or needs it.',
    remedy: 'wait until what the message names is complete, or delete that',
    waits: true,
  },
  SourceNotFound: {
    by: C,
    on: ['Placed'],
    meaning: 'There is no source of that name in the namespace yet.',
    remedy: 'create it, or make the Volume anew with another spec.source',
    waits: true,
  },
  SourceNotReady: {
    by: C,
    on: ['Placed'],
    meaning: 'The source is not complete, or has a problem.',
    remedy: "see the source's Ready condition",
    waits: true,
  },
  WaitingForSource: {
    by: C,
    on: ['Placed'],
    meaning: 'The source cannot be copied just now.',
    remedy: 'see the message: an attached source may have to be detached first',
    waits: true,
  },
  SourceDeleting: {
    by: C,
    on: ['Placed'],
    meaning: 'The source is being deleted.',
    remedy: 'make the Volume anew with another spec.source',
    stalls: true,
  },
  SourceElsewhere: {
    by: C,
    on: ['Placed'],
    meaning: 'A copy is made on the server of its source, and spec.volumeServer names another.',
    remedy: 'make the Volume anew without spec.volumeServer, or with the source’s',
    stalls: true,
  },
  SizeBelowSource: {
    by: C,
    on: ['Placed'],
    meaning: 'The size in the spec is less than the data of the source.',
    remedy: 'set at least what the message says, or leave spec.size out',
    stalls: true,
  },
  SourceNotPinned: {
    by: ['S'],
    on: ['Provisioned', 'Created'],
    meaning: 'The source carries no pin for this copy, so it might go in the middle.',
    remedy: WAIT,
  },
} as const satisfies Record<string, ReasonInfo>;
