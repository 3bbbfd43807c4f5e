// What the controller concludes about Snapshots and about Volumes with a source.
import { NOTHING, type ReasonInfo, STEP_MS, WAIT } from './info.ts';

const C = ['C'] as const;

export const COPIES = {
  Created: { by: C, on: ['Created', 'Ready'], meaning: 'The Snapshot is made.', remedy: NOTHING },
  Healthy: { by: C, on: ['Healthy'], meaning: 'Its server sees its data.', remedy: NOTHING },
  NotCreated: {
    by: C,
    on: ['Healthy'],
    meaning: 'The Snapshot is not made yet.',
    remedy: 'see the condition Created',
  },
  Copying: {
    by: C,
    on: ['Created', 'Provisioned'],
    meaning: 'The server copies the data; the message says how far it is.',
    remedy: WAIT,
    waits: true,
    passesMs: STEP_MS,
  },
  BeingCopied: {
    by: C,
    on: ['Admitted'],
    meaning: 'The Volume is being copied, and nobody may write to it meanwhile.',
    remedy: WAIT,
    waits: true,
  },
  Pinned: {
    by: C,
    on: ['Ready'],
    meaning: 'It is deleted, and something is still being copied from it or depends on it.',
    remedy: 'nothing; or delete what the message names',
    waits: true,
  },
  SourceNotFound: {
    by: C,
    on: ['Placed'],
    meaning: 'There is nothing of that name in the namespace yet.',
    remedy: 'create it, or name another source in a new Volume',
    waits: true,
  },
  SourceNotReady: {
    by: C,
    on: ['Placed'],
    meaning: 'The source is not complete.',
    remedy: "see the source's Ready condition",
    waits: true,
  },
  WaitingForSource: {
    by: ['C', 'S'],
    on: ['Placed', 'Provisioned'],
    meaning:
      'The source is about to be held for this copy (a Volume in use is not), or its server has not let this one read it yet.',
    remedy: 'nothing; or detach the source, or make a Snapshot of it and take that',
    waits: true,
    passesMs: STEP_MS,
  },
  SourceDeleting: {
    by: C,
    on: ['Placed'],
    meaning: 'The source was deleted before this Volume was created.',
    remedy: 'name another source in a new Volume',
    stalls: true,
  },
  SourceElsewhere: {
    by: C,
    on: ['Placed'],
    meaning: 'No server that may hold this Volume can read the source, which is on another one.',
    remedy:
      'nothing when the message says that a server does not answer; else let that server copy from others, or create a Volume without spec.volumeServer',
    waits: true,
  },
  AgentOutdated: {
    by: C,
    on: ['Placed', 'Created', 'Ready'],
    meaning: 'The agent of the server is of a version which knows nothing of what is asked for.',
    remedy: 'upgrade the agent; it goes on by itself',
  },
  SizeBelowSource: {
    by: C,
    on: ['Placed'],
    meaning: 'The size asked for is below that of the source.',
    remedy: 'raise spec.size to what the message says',
    stalls: true,
  },
} as const satisfies Record<string, ReasonInfo>;
