// What is said about data which outlives its object, and about Volumes which adopt it.
import { NOTHING, type ReasonInfo, STEP_MS, WAIT } from './info.ts';

const C = ['C'] as const;

export const RETENTION = {
  Retaining: {
    by: C,
    on: ['Ready'],
    meaning: 'It is deleted with deletionPolicy Retain, and its server puts the data aside.',
    remedy: WAIT,
    passesMs: STEP_MS,
  },
  Trashing: {
    by: C,
    on: ['Ready'],
    meaning: 'It is deleted, and its class keeps the data for a time: its server puts it into the trash.',
    remedy:
      'nothing; to have it back, an administrator makes a Volume with the spec.source.existing that the message names',
    waits: true,
  },
  Retained: {
    by: C,
    on: ['Provisioned', 'Created'],
    meaning: 'The data was put aside on its server, without end or into the trash.',
    remedy: NOTHING,
  },
  Adopting: {
    by: C,
    on: ['Provisioned'],
    meaning: 'The server makes retained or orphaned data that of this Volume.',
    remedy: WAIT,
    waits: true,
    passesMs: STEP_MS,
  },
  NotRetained: {
    by: C,
    on: ['Placed'],
    meaning: 'The server does not list retained or orphaned data of this ID: not yet, or not any more.',
    remedy:
      'see status.agent.retained and status.agent.orphans of the VolumeServer; name what is listed there in a new Volume',
    waits: true,
  },
  ClassMismatch: {
    by: C,
    on: ['Placed'],
    meaning: 'The retained data is in a pool which the class of the Volume does not select.',
    remedy: 'name a class which selects that pool in a new Volume',
    stalls: true,
  },
  VolumeServerMismatch: {
    by: C,
    on: ['Placed'],
    meaning: 'The server asked for is not the one which holds the retained data; it is adopted where it is.',
    remedy: 'leave spec.volumeServer out in a new Volume',
    stalls: true,
  },
  RetainedGone: {
    by: ['S'],
    on: ['Provisioned'],
    meaning:
      'The data to adopt is not there any more: another Volume has adopted it, its time in the trash was over, or it was taken away.',
    remedy: 'delete this Volume; or bring the data back to the pool under its old ID',
    stalls: true,
  },
  StillOpen: {
    by: ['S'],
    on: ['Provisioned'],
    meaning:
      'Somebody has orphaned data open, and its server has forgotten why; it is taken over when nobody has.',
    remedy: 'stop the instance that uses it, or take the disk out of it, when it suits you',
  },
} as const satisfies Record<string, ReasonInfo>;
