// What the controller concludes itself.
import { NOTHING, type ReasonInfo, STEP_MS, WAIT } from './info.ts';

const C = ['C'] as const;

/** All is well. */
const good = {
  Placed: {
    by: C,
    on: ['Placed'],
    meaning:
      'A server and a pool were chosen; they do not change, unless the server finds no room before it begins.',
    remedy: NOTHING,
  },
  Provisioned: {
    by: C,
    on: ['Provisioned', 'Ready'],
    meaning: 'The data is complete on its server.',
    remedy: NOTHING,
  },
  Granted: {
    by: C,
    on: ['Admitted'],
    meaning: 'The Volume is granted to this hypervisor.',
    remedy: NOTHING,
  },
  Exported: {
    by: C,
    on: ['Exported'],
    meaning: 'The target is open to this hypervisor only.',
    remedy: NOTHING,
  },
  Connected: { by: C, on: ['Connected'], meaning: 'The hypervisor is logged in.', remedy: NOTHING },
  Attached: {
    by: C,
    on: ['Attached', 'Ready'],
    meaning: 'The disk was seen in the running VM.',
    remedy: NOTHING,
  },
  Fenced: {
    by: C,
    on: ['Fenced'],
    meaning: 'The hypervisor is cut off at the target.',
    remedy: 'restart the VM, or its host, before it is used again: its disk is gone',
  },
  Safe: { by: C, on: ['HostSafe'], meaning: 'Nothing stands against using this host.', remedy: NOTHING },
  Heard: { by: C, on: ['Ready'], meaning: 'The agent of the host answers.', remedy: NOTHING },
  Settled: { by: C, on: ['Reconciling'], meaning: 'Nothing is under way.', remedy: NOTHING },
  NotStalled: { by: C, on: ['Stalled'], meaning: 'Nothing waits for a person.', remedy: NOTHING },
} as const satisfies Record<string, ReasonInfo>;

/** A step under way, or what waits for its turn. */
const underWay = {
  Placing: { by: C, on: ['Placed'], meaning: 'A server is being chosen.', remedy: WAIT, waits: true },
  NotPlaced: {
    by: C,
    on: ['Provisioned'],
    meaning: 'No server was chosen yet.',
    remedy: 'see the condition Placed',
    waits: true,
  },
  Provisioning: {
    by: C,
    on: ['Provisioned'],
    meaning: 'The server makes the data.',
    remedy: WAIT,
    passesMs: STEP_MS,
  },
  Resizing: {
    by: ['C', 'H'],
    on: ['Resized'],
    meaning: 'The Volume grows: on its server, at its target, in the VM. The message says how far it is.',
    remedy: WAIT,
    passesMs: STEP_MS,
  },
  WaitingForDetach: {
    by: C,
    on: ['Resized', 'Created'],
    meaning: 'The Volume grows, or its Snapshot is made, when it is detached.',
    remedy: 'delete its Attachment, or wait until it is deleted',
  },
  SnapshotsExist: {
    by: C,
    on: ['Resized'],
    meaning: 'The pool cannot let a Volume grow that has Snapshots.',
    remedy: 'delete the Snapshots which the message names',
  },
  Removing: {
    by: C,
    on: ['Ready'],
    meaning: 'It is deleted, and its server removes the data.',
    remedy: WAIT,
    passesMs: STEP_MS,
  },
  Removed: { by: C, on: ['Provisioned', 'Created'], meaning: 'The data was removed.', remedy: NOTHING },
  InUse: {
    by: C,
    on: ['Ready'],
    meaning: 'The Volume is deleted, and an Attachment still holds it.',
    remedy: 'delete the Attachment which the message names',
    waits: true,
  },
  VolumeNotFound: {
    by: C,
    on: ['Admitted', 'Created'],
    meaning: 'There is no Volume of that name in the namespace yet.',
    remedy: 'create it, or correct spec.volumeRef in a new object',
    waits: true,
  },
  VolumeNotReady: {
    by: C,
    on: ['Admitted', 'Created'],
    meaning: 'The Volume is not complete, or has a problem.',
    remedy: "see the Volume's Ready condition",
    waits: true,
  },
  VolumeInUse: {
    by: C,
    on: ['Admitted'],
    meaning: 'Another Attachment holds the Volume; this one follows in order of creation.',
    remedy: 'delete the Attachment which the message names, or wait',
    waits: true,
  },
  VolumeDeleting: {
    by: C,
    on: ['Admitted', 'Created'],
    meaning: 'The Volume is being deleted.',
    remedy: 'delete the Attachment or Snapshot, or let it wait for a Volume of that name',
    waits: true,
  },
  WaitingForVolume: {
    by: C,
    on: ['Admitted', 'Created'],
    meaning: 'The grant, or the Snapshot, is about to be made.',
    remedy: WAIT,
    waits: true,
    passesMs: STEP_MS,
  },
  NotAdmitted: {
    by: C,
    on: ['Exported', 'Connected', 'Attached'],
    meaning: 'There is no grant.',
    remedy: 'see the condition Admitted',
  },
  Exporting: {
    by: C,
    on: ['Exported'],
    meaning: 'The server opens the target.',
    remedy: WAIT,
    passesMs: STEP_MS,
  },
  Attaching: {
    by: C,
    on: ['Connected', 'Attached'],
    meaning: 'The hypervisor plugs the disk in.',
    remedy: WAIT,
    passesMs: STEP_MS,
  },
  Released: {
    by: C,
    on: ['Connected', 'Attached'],
    meaning: 'The hypervisor has given the disk up, for ever.',
    remedy: NOTHING,
  },
  Withdrawn: {
    by: C,
    on: ['Exported'],
    meaning: 'The target is closed to this grant, for ever.',
    remedy: NOTHING,
  },
  Fencing: {
    by: C,
    on: ['Fenced'],
    meaning: 'The server is cutting the hypervisor off.',
    remedy: 'if it lasts, see whether the volume server answers',
    waits: true,
  },
} as const satisfies Record<string, ReasonInfo>;

/** Where a volume may go. */
const placement = {
  ClassNotFound: {
    by: C,
    on: ['Placed'],
    meaning: 'There is no VolumeClass of that name.',
    remedy: 'create it, or make the Volume anew with another spec.className',
  },
  NoDefaultClass: {
    by: C,
    on: ['Placed'],
    meaning: 'The Volume names no class, and none is the default.',
    remedy: 'set spec.default: true in one VolumeClass',
  },
  TwoDefaultClasses: {
    by: C,
    on: ['Placed'],
    meaning: 'The Volume names no class, and more than one is the default; none is guessed.',
    remedy: 'leave spec.default: true in one VolumeClass only',
  },
  VolumeServerNotFound: {
    by: C,
    on: ['Placed'],
    meaning: 'There is no VolumeServer of the name in spec.volumeServer, or in spec.source.existing.',
    remedy: 'start the agent of that server, or make the Volume anew with another name, or none',
  },
  NoPool: {
    by: C,
    on: ['Placed'],
    meaning: 'No server which answers, is safe and is not cordoned has a pool of the class.',
    remedy: 'kubectl get volumeservers; start an agent, uncordon a server, or add a pool',
  },
} as const satisfies Record<string, ReasonInfo>;

/** Hosts as the controller sees them. */
const hosts = {
  HypervisorNotFound: {
    by: C,
    on: ['Admitted'],
    meaning: 'There is no Hypervisor of the name in spec.hypervisor.',
    remedy: 'start the agent of that host, or make the Attachment anew',
  },
  HypervisorFenced: {
    by: C,
    on: ['Admitted'],
    meaning: 'The hypervisor is fenced, or has not yet proved that it holds no disk any more.',
    remedy: 'restart the host, or the VMs which held disks; then set spec.fenced: false',
  },
  HypervisorCordoned: {
    by: C,
    on: ['Admitted'],
    meaning: 'Nothing new is attached on this hypervisor.',
    remedy: 'set spec.cordoned: false on it when its maintenance is over',
  },
  HypervisorSilent: {
    by: C,
    on: ['Admitted', 'Ready'],
    meaning: 'The hypervisor does not answer, so nothing is granted to it and it gives nothing up.',
    remedy: 'bring it back; to detach without it, set spec.detachPolicy: Fence',
  },
  HypervisorUnsafe: {
    by: C,
    on: ['Admitted'],
    meaning: 'The hypervisor has a problem which stands against using it.',
    remedy: "see the Hypervisor's HostSafe condition",
  },
  HostSilent: {
    by: C,
    on: ['Ready', 'Placed', 'Provisioned', 'Exported', 'Connected', 'Attached'],
    meaning: 'No heartbeat came; what was seen last may not be so any more.',
    remedy: 'start the agent of the host, or see whether the host is up',
  },
  HostRebooted: {
    by: C,
    on: ['Provisioned', 'Exported', 'Connected', 'Attached'],
    meaning: 'The host is in another boot than the one in which this was seen.',
    remedy: WAIT,
  },
  WaitingForHeartbeat: {
    by: C,
    on: ['Ready', 'Placed', 'Provisioned', 'Exported', 'Connected', 'Attached'],
    meaning: 'The controller has begun just now and has not heard the host yet.',
    remedy: WAIT,
    // A controller that has just begun to lead has heard nobody yet.
    passesMs: 30_000,
  },
  NotReported: {
    by: C,
    on: ['HostSafe'],
    meaning: 'The agent has said nothing about its host yet.',
    remedy: "if it lasts, see the agent's log",
  },
  ServerLost: {
    by: C,
    on: ['Provisioned', 'Healthy', 'Exported', 'Ready'],
    meaning: 'An administrator has declared the volume server lost, and the data with it.',
    remedy: 'delete the object, and restore the data from elsewhere',
    stalls: true,
  },
  Lost: {
    by: C,
    on: ['Ready'],
    meaning: 'The volume server is declared lost (spec.lost) and is silent.',
    remedy: 'delete what it held, then the VolumeServer',
  },
  LostRefused: {
    by: C,
    on: ['HostSafe', 'Ready'],
    meaning: 'The volume server is declared lost (spec.lost), and answers: it is not lost.',
    remedy: 'take spec.lost back, or stop the agent of the host for good first',
  },
  VolumeReplaced: {
    by: C,
    on: ['Admitted'],
    meaning: 'The Volume was deleted and another one of its name was made: it has other data.',
    remedy: 'delete this Attachment and create another',
    stalls: true,
  },
} as const satisfies Record<string, ReasonInfo>;

export const CLAIMS = { ...good, ...underWay, ...placement, ...hosts } as const;
