// What users and faults may do, scenario by scenario; within one, every order and interleaving is visited.
import { anAttachment, aRetainedVolume, aVolume, RETAIN } from './fixtures.ts';
import { movesOf } from './moves.ts';
import { rules } from './rules.ts';
import { keyOf, type State, spell, writeAttachment, writeVolume } from './state.ts';

const blank: State = {
  volume: '',
  attachments: ['', ''],
  controller: ['=', '=', '='],
  server: ['=', '=', '='],
  hosts: [
    ['=', '='],
    ['=', '='],
  ],
  ghost: '',
  snapshot: '',
  snapshotViews: ['=', '='],
  snapshotMemory: '',
  snapshotBacking: '',
  copied: 'nothing',
  serverMemory: '',
  serverPending: '',
  backing: '',
  data: false,
  everWritten: false,
  target: '',
  hostMemory: [
    ['', ''],
    ['', ''],
  ],
  hostPending: ['', ''],
  vms: [spell({ running: true }), spell({ running: true })],
  awake: [true, true],
  stale: [false, false],
  fenced: [false, false],
  serverBoot: 0,
  hostBoot: [0, 0],
  todo: {},
};

const from = (start: State, todo: State['todo']): State => ({ ...start, todo });

/** Lets everybody act until nothing is left to do, always taking the first move. */
function settle(start: State): State {
  let state = start;
  for (;;) {
    const move = movesOf(state, rules).find(
      ({ fault, next }) => fault !== true && keyOf(next) !== keyOf(state),
    );
    if (move === undefined) {
      return { ...state, todo: {} };
    }
    state = move.next;
  }
}

const ready = settle(writeVolume(blank, 'user', spell(aVolume)));
const attached = settle(writeAttachment(ready, 'user', 0, spell(anAttachment(0))));
const toRetain = settle(
  writeAttachment(
    settle(writeVolume(blank, 'user', spell(aRetainedVolume))),
    'user',
    0,
    spell(anAttachment(0)),
  ),
);
const shared = settle(writeAttachment(attached, 'user', 1, spell(anAttachment(1, 0))));
const contested = settle(writeAttachment(attached, 'user', 1, spell(anAttachment(1))));

/** Name, where it starts, and what users and faults may do from there, each so many times, at any moment. */
export const scenarios: Readonly<Record<string, State>> = {
  'a volume is created and deleted, with two crashes and a server reboot': from(blank, {
    'create volume': 1,
    'delete volume': 1,
    crash: 2,
    'reboot server': 1,
  }),
  'volume and attachment appear in any order and go again': from(blank, {
    'create volume': 1,
    'create 0': 1,
    'delete 0': 1,
    'delete volume': 1,
  }),
  'one attachment comes and goes, with a crash anywhere': from(ready, {
    'create 0': 1,
    'delete 0': 1,
    crash: 1,
  }),
  'two attachments race for a volume': from(ready, { 'create 0': 1, 'create 1': 1 }),
  'the second takes over when the first goes, with a crash anywhere': from(contested, {
    'delete 0': 1,
    crash: 1,
  }),
  'both go, and the volume too': from(contested, { 'delete 0': 1, 'delete 1': 1, 'delete volume': 1 }),
  'a silent hypervisor is cut off by policy, and may come back': from(contested, {
    'silence 0': 1,
    'fence-delete 0': 1,
    'wake 0': 1,
  }),
  'an administrator fences a hypervisor, silent or not': from(contested, {
    'fence 0': 1,
    'silence 0': 1,
    'wake 0': 1,
  }),
  'hypervisor and server reboot under an attached volume': from(attached, {
    'reboot 0': 1,
    'reboot server': 1,
    'delete 0': 1,
  }),
  'two attachments of one VM follow each other, with a crash anywhere': from(shared, {
    'delete 0': 1,
    crash: 1,
  }),
  'two attachments of one VM, the first cut off while its host is silent': from(shared, {
    'silence 0': 1,
    'fence-delete 0': 1,
    'wake 0': 1,
  }),
  'the server reboots while a guest lets the disk go, with a crash anywhere': from(contested, {
    'delete 0': 1,
    'reboot server': 1,
    crash: 1,
  }),
  'a VM is restarted after its host was fenced': from(attached, {
    'fence 0': 1,
    'restart vm 0': 1,
    'reboot server': 1,
  }),
  'a snapshot is made while the volume is attached, detached and deleted': from(attached, {
    'create snapshot': 1,
    'delete 0': 1,
    'delete volume': 1,
    crash: 1,
  }),
  'a snapshot and an attachment race for a volume, and the server reboots': from(ready, {
    'create snapshot': 1,
    'create 0': 1,
    'reboot server': 1,
  }),
  'a snapshot comes and goes, and the volume too': from(ready, {
    'create snapshot': 1,
    'delete snapshot': 1,
    'delete volume': 1,
    crash: 1,
  }),
  'a volume whose data is to be retained is deleted, with a crash anywhere and a server reboot': from(
    toRetain,
    {
      [RETAIN]: 0,
      'delete 0': 1,
      'delete volume': 1,
      'reboot server': 1,
      crash: 1,
    },
  ),
  'a volume whose data is to be retained is deleted while a snapshot is made': from(toRetain, {
    [RETAIN]: 0,
    'create snapshot': 1,
    'delete 0': 1,
    'delete volume': 1,
  }),
  'a deposed controller writes late': from(ready, { 'create 0': 1, 'delete 0': 1, depose: 1 }),
};
