// What hosts report as `problem`; the controller repeats it in the condition which it stands against.
import { type ReasonInfo, STEP_MS, WAIT } from './info.ts';

const S = ['S'] as const;
const H = ['H'] as const;
const both = ['S', 'H'] as const;
const DISK = ['Connected', 'Attached'];
const DATA = ['Provisioned', 'Created', 'Healthy'];
const ANY = [...DATA, 'Exported', 'Connected', 'Attached'];

/** About data and targets. */
const server = {
  DataMissing: {
    by: S,
    on: [...DATA, 'Exported'],
    meaning: 'Data that was complete is not found. It is never made anew.',
    remedy: 'bring it back to the pool under its volumeID, or delete the Volume',
    stalls: true,
  },
  DataLost: {
    by: S,
    on: DATA,
    meaning:
      'The data is there and worth nothing any more: the store of a copy-on-write Snapshot has overflowed, or it was parted from its Volume.',
    remedy: 'delete the Snapshot; it is never good again',
    stalls: true,
  },
  PoolFaulty: {
    by: S,
    on: DATA,
    meaning:
      'The pool is there and out of order, so nothing more is put into it. Its VolumeServer tells it of the pool as well (status.agent.pools).',
    remedy: 'bring back the disk that is missing, grow the pool that is full, or have it checked',
  },
  PoolMissing: {
    by: S,
    on: [...DATA, 'Exported'],
    meaning:
      'The pool itself is not there, or another one stands in its place. It says nothing about its volumes.',
    remedy: 'mount the file system, or activate the volume group, of that pool',
  },
  CopyFailed: {
    by: S,
    on: ['Provisioned', 'Created'],
    meaning: 'Bytes could not be read from the source or written to the copy. It is tried again from there.',
    remedy: 'look at the disk or file system which the message names',
  },
  SourceNotPinned: {
    by: S,
    on: ['Provisioned', 'Created'],
    meaning: 'The source does not hold its data for this copy, so it was not begun.',
    remedy: WAIT,
  },
  NoSpace: {
    by: ['C', 'S'],
    on: ['Placed', 'Provisioned', 'Created', 'Resized'],
    meaning: 'No pool, or not this one, has as many bytes free.',
    remedy: 'free space, add a pool, or make the Volume smaller',
  },
  BackingNotFound: {
    by: S,
    on: [...DATA, 'Exported'],
    meaning: 'The pool holds no backing in the state that the step needs.',
    remedy: 'look at the pool; the agent looks again by itself',
  },
  ExportNotFound: {
    by: S,
    on: ['Exported'],
    meaning: 'The target went away in the middle of a step.',
    remedy: 'if it comes again, see who else changes the target daemon',
  },
  WaitingForOther: {
    by: S,
    on: ['Exported'],
    meaning: 'Another initiator still has access; on an Exclusive volume nobody is let in beside it.',
    remedy: WAIT,
    waits: true,
  },
  TargetUnavailable: {
    by: S,
    on: ['HostSafe', 'Ready'],
    meaning: 'The target daemon of the server does not answer.',
    remedy: 'start it; targets are made again by the agent',
  },
} as const satisfies Record<string, ReasonInfo>;

/** About disks in VMs. */
const hypervisor = {
  InstanceNotFound: {
    by: ['C', 'H'],
    on: ['Admitted', ...DISK],
    meaning: 'No hypervisor which answers, or not the bound one, has such a VM.',
    remedy: 'define the VM, start the agent of its host, or delete the Attachment',
  },
  InstanceAmbiguous: {
    by: ['C', 'H'],
    on: ['Admitted', ...DISK],
    meaning: 'The name means more than one VM; none is guessed.',
    remedy: 'name spec.hypervisor or the VM’s UUID in a new Attachment',
  },
  InstanceNotRunning: {
    by: H,
    on: DISK,
    meaning: 'The VM does not run; the disk is plugged in when it does.',
    remedy: 'start the VM',
  },
  InstanceUnidentified: {
    by: H,
    on: DISK,
    meaning: 'The VM that was given the disk is not to be found, and may be one which has no UUID any more.',
    remedy: 'give the VM its UUID back (status.agent.unidentified of the Hypervisor names those without)',
  },
  DeviceInUse: {
    by: H,
    on: DISK,
    meaning: 'The device name asked for is taken by another disk of the VM.',
    remedy: 'make the Attachment anew with another spec.device, or without',
    stalls: true,
  },
  NoFreeDevice: {
    by: H,
    on: DISK,
    meaning: 'No device name, or no hot-plug slot, is left in the VM.',
    remedy: 'detach a disk, or give the VM more hot-plug slots',
  },
  Connecting: {
    by: H,
    on: DISK,
    meaning: 'The VM has the disk, and its guest has not taken it yet.',
    remedy: 'see whether the guest has started and its disk driver runs; it is asked again by itself',
  },
  NotExported: {
    by: H,
    on: DISK,
    meaning: 'The server names no target or no portal.',
    remedy: 'see the condition Exported',
  },
  Detaching: {
    by: ['C', 'H'],
    on: ['Ready', ...DISK],
    meaning: 'The hypervisor gives the disk up, or the server closes the target.',
    remedy: WAIT,
    passesMs: STEP_MS,
  },
  DetachBlockedByGuest: {
    by: H,
    on: ['Ready', ...DISK],
    meaning: 'The guest was asked and does not let the disk go.',
    remedy: 'unmount the disk in the guest, or restart the VM',
  },
  DiskCutOff: {
    by: H,
    on: ['Ready', ...DISK],
    meaning: 'The VM holds a disk that was cut off; to take it out would stop the whole VM.',
    remedy: 'restart the VM',
  },
  TargetAway: {
    by: H,
    on: ['Ready', ...DISK],
    meaning: 'The disk stays in the VM until its target answers: the VM would stand still meanwhile.',
    remedy: 'bring the volume server back; or fence, and restart the VM',
  },
  VmmUnavailable: {
    by: H,
    on: ['HostSafe', 'Ready'],
    meaning: 'The VMM of the hypervisor does not answer.',
    remedy: 'see whether libvirtd, or what the profile calls, runs',
  },
} as const satisfies Record<string, ReasonInfo>;

/** About the host and its tools. */
const host = {
  NotOurs: {
    by: both,
    on: ANY,
    meaning: 'Something of that name is there and is not provably ours. Nothing was touched.',
    remedy: 'look at it; move it away, or delete the object',
    stalls: true,
  },
  Mismatch: {
    by: both,
    on: ANY,
    meaning:
      'It is ours, but not as it must be: another serial, size or path. It is never handed to a guest.',
    remedy: 'look at it, and correct it on that host',
    stalls: true,
  },
  Unsupported: {
    by: both,
    on: ANY,
    meaning: 'The tool behind the profile cannot do it at all.',
    remedy: 'change what is asked for, or use another profile',
    stalls: true,
  },
  Busy: {
    by: both,
    on: ANY,
    meaning: 'It is in use, or an earlier command still runs.',
    remedy: 'if it lasts, look at that process or session',
  },
  Denied: {
    by: both,
    on: ANY,
    meaning: 'The other side refused: a wrong name or password, or missing rights.',
    remedy: 'look at the rights of the agent on its host, and at who may log in at the target',
  },
  ChapKeyMissing: {
    by: both,
    on: ['Exported', ...DISK],
    meaning: 'The Secret with the key of these two hosts is not in the namespace of the host.',
    remedy: 'put it back from a backup; without one, restart the VM and delete the Attachment',
  },
  CannotLook: {
    by: both,
    on: [...ANY, 'HostSafe'],
    meaning: 'The tool did not answer, or in an unknown way. It says nothing about what exists.',
    remedy: 'see whether its daemon runs and whether the profile fits its version',
  },
  CommandFailed: {
    by: both,
    on: ANY,
    meaning: 'A command gave no answer: it could not be started, was killed or ran too long.',
    remedy: 'it is tried again; if it lasts, see the agent’s log',
  },
  NotDone: {
    by: both,
    on: ANY,
    meaning: 'The command ran, and the look after it does not show the change.',
    remedy: 'it is tried again; if it lasts, see the agent’s log for the command, and try it by hand',
  },
  WrongCluster: {
    by: both,
    on: ['HostSafe', 'Ready'],
    meaning: 'The host belongs to another cluster than its kubeconfig points to. It touches nothing.',
    remedy:
      'correct the kubeconfig, or give the host a new state directory once nothing of the old cluster is on it',
  },
} as const satisfies Record<string, ReasonInfo>;

/** How the host is set up; see docs/preflight.md. Nothing new is put on it, and what is on it goes on. */
const settings = {
  HostUnsafe: {
    by: both,
    on: ['HostSafe', 'Ready'],
    meaning: 'A setting of the host puts data, or the disks of its VMs, in danger.',
    remedy: 'change what the message names; `vbs-node-agent check` on the host tells more',
    setting: true,
  },
  LvmSeesGuests: {
    by: both,
    on: ['HostSafe', 'Ready'],
    meaning: 'The LVM of the host looks into the disks of guests, and would activate what it finds there.',
    remedy: 'write the filter which the message shows; `vbs-node-agent check` on the host tells more',
    setting: true,
  },
  AutomaticLogin: {
    by: H,
    on: ['HostSafe', 'Ready'],
    meaning: 'The host would log in to our targets by itself when it boots, whoever may use them by then.',
    remedy: 'write what the message shows in the record which it names',
    setting: true,
  },
  FaultyTool: {
    by: both,
    on: ['HostSafe', 'Ready'],
    meaning: 'A tool has a fault that is known, or does not fit its own daemon.',
    remedy: 'install the version which the message names, and restart what uses it',
    setting: true,
  },
} as const satisfies Record<string, ReasonInfo>;

export const PROBLEMS = { ...server, ...hypervisor, ...host, ...settings } as const;
