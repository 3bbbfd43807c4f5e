/** What a profile of each role may say: its verbs, their typed parameters and the rows they give. This is public API. */

import type { ParamType } from './values.ts';

export type RoleName = 'pool' | 'target' | 'initiator' | 'vmm';

export const OUTCOMES = [
  'ok',
  'absent',
  'exists',
  'busy',
  'denied',
  'full',
  'unreachable',
  'unsupported',
  'notRunning',
  'unclear',
  'failed',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface RowShape {
  readonly need: readonly string[];
  readonly may?: readonly string[];
}

export interface VerbShape {
  readonly params?: Readonly<Record<string, ParamType>>;
  /** Parameters that some tools have no value for. A profile whose steps use one is called with it, or not at all. */
  readonly mayLack?: readonly string[];
  readonly optional?: true;
  /** A look changes nothing. It answers with rows, with one of `answers`, or throws CannotLook. */
  readonly look?: true;
  readonly answers?: readonly Outcome[];
  /** Rows by the value of their `kind` column; the empty kind for all others. */
  readonly rows?: Readonly<Record<string, RowShape>>;
}

export interface RoleShape {
  readonly verbs: Readonly<Record<string, VerbShape>>;
  readonly can: Readonly<Record<string, 'boolean' | 'integer'>>;
  /** Optional verbs that are needed by a profile which provides this. */
  readonly needs?: Readonly<Record<'block' | 'iscsi', readonly string[]>>;
  /** Optional verbs of which a profile has all or none. */
  readonly together?: readonly (readonly string[])[];
  /** A verb, and those in whose place it stands: a profile has it, or all of them. */
  readonly instead?: Readonly<Record<string, readonly string[]>>;
  /** Top-level keys that only some roles have. */
  readonly keys: readonly ('accepts' | 'provides' | 'devices')[];
}

const version: VerbShape = { optional: true, look: true, rows: { '': { need: ['version'] } } };
const volume = { 'volume.id': 'volumeID' } as const;
const backing = { 'backing.id': 'backingID' } as const;
/** What is exported: a volume, or a snapshot that is being copied. */
const target = { tid: 'integer', iqn: 'iqn', 'volume.id': 'backingID' } as const;
const chap = { 'chap.user': 'word', 'chap.password': 'secret' } as const;
const portal = { 'portal.host': 'host', 'portal.port': 'integer' } as const;
const instance = { 'instance.uuid': 'uuid', 'instance.id': 'word' } as const;
/** A tool that knows its machines by UUID has no other ids. */
const mayLack = ['instance.id'] as const;
const session = { iqn: 'iqn', lun: 'integer', ...portal, initiator: 'iqn', ...chap } as const;
const loggedIn = { iqn: 'iqn', session: 'integer', host: 'integer', lun: 'integer' } as const;
const link = { ...volume, 'grant.uuid': 'uuid' } as const;
const oneDisk = { ...instance, ...volume, device: 'word' } as const;
const disk = {
  ...oneDisk,
  readOnly: 'flag',
  'disk.access': 'word',
  'disk.readOnly': 'integer',
} as const;

const poolRow = {
  need: ['total'],
  may: ['identity', 'problem', 'fault', 'free', 'usedPercent', 'metadataPercent', 'extent'],
} as const;
const backingRow = {
  need: ['id', 'state', 'size', 'path'],
  may: ['allocated', 'allocatedPercent', 'clean', 'source', 'fault', 'cluster', 'namespace', 'name'],
} as const;

const pool: RoleShape = {
  keys: [],
  together: [
    ['retain', 'adopt'],
    ['zero', 'grown', 'retireGrowing'],
  ],
  instead: { look: ['identity', 'capacity', 'volumes'] },
  can: {
    growOnline: 'boolean',
    snapshotAttached: 'boolean',
    snapshotsOutlive: 'boolean',
    snapshotsHoldSize: 'boolean',
  },
  verbs: {
    version,
    contents: { look: true, answers: ['absent'], rows: { '': { need: ['name'] } } },
    prepare: { params: { 'pool.identity': 'uuid' } },
    look: {
      optional: true,
      look: true,
      answers: ['absent'],
      rows: { pool: poolRow, volume: backingRow },
    },
    identity: {
      optional: true,
      look: true,
      answers: ['absent'],
      rows: { '': { need: [], may: ['identity', 'problem'] } },
    },
    capacity: {
      optional: true,
      look: true,
      rows: {
        '': { need: poolRow.need, may: ['fault', 'free', 'usedPercent', 'metadataPercent', 'extent'] },
      },
    },
    volumes: { optional: true, look: true, rows: { '': backingRow } },
    tags: {
      optional: true,
      look: true,
      params: backing,
      answers: ['absent'],
      rows: { '': { need: ['cluster'], may: ['namespace', 'name'] } },
    },
    create: {
      params: {
        ...backing,
        size: 'bytes',
        'owner.cluster': 'uuid',
        'owner.namespace': 'word',
        'owner.name': 'word',
      },
    },
    snapshot: {
      optional: true,
      params: {
        ...backing,
        'source.id': 'backingID',
        room: 'bytes',
        'owner.cluster': 'uuid',
        'owner.namespace': 'word',
        'owner.name': 'word',
      },
    },
    resume: { optional: true, params: { ...backing, size: 'bytes' } },
    complete: { params: backing },
    retire: { params: backing },
    retireProvisional: { params: backing },
    retain: { optional: true, params: backing },
    retireRetained: { optional: true, params: backing },
    adopt: {
      optional: true,
      params: {
        ...backing,
        'source.id': 'backingID',
        'source.namespace': 'word',
        'source.name': 'word',
        'owner.cluster': 'uuid',
        'owner.namespace': 'word',
        'owner.name': 'word',
      },
    },
    wipe: {
      optional: true,
      params: { ...backing, 'backing.path': 'path', offset: 'bytes', length: 'bytes' },
    },
    free: { params: backing },
    grow: { params: { ...backing, size: 'bytes', clean: 'bytes' } },
    zero: {
      optional: true,
      params: { ...backing, 'backing.path': 'path', offset: 'bytes', length: 'bytes' },
    },
    grown: { optional: true, params: { ...backing, clean: 'bytes' } },
    retireGrowing: { optional: true, params: { ...backing, clean: 'bytes' } },
  },
};

const targetRole: RoleShape = {
  keys: [],
  can: { resizeOnline: 'boolean', readOnlyPerInitiator: 'boolean', serialMax: 'integer' },
  verbs: {
    version,
    show: {
      look: true,
      rows: {
        target: { need: ['iqn'], may: ['tid', 'state'] },
        lun: {
          need: ['iqn', 'lun'],
          may: ['tid', 'path', 'serial', 'scsiID', 'online', 'readOnly', 'type', 'store'],
        },
        store: { need: ['store'], may: ['path', 'serial', 'online', 'fault', 'device'] },
        device: { need: ['device', 'sectors'] },
        session: { need: ['iqn', 'initiator'], may: ['tid', 'session'] },
        account: { need: ['iqn', 'user'], may: ['tid', 'initiator'] },
        access: { need: ['iqn', 'initiator'], may: ['tid'] },
        portal: { need: ['iqn', 'portal'] },
        fault: { need: ['iqn', 'fault'] },
      },
    },
    connections: {
      optional: true,
      look: true,
      params: target,
      answers: ['absent'],
      rows: { '': { need: ['session', 'connection', 'initiator'] } },
    },
    accounts: { optional: true, look: true, rows: { '': { need: ['user'] } } },
    createTarget: { params: target },
    addPortal: { optional: true, params: { ...target, ...portal } },
    removePortal: { optional: true, params: { ...target, ...portal } },
    createLun: { params: { ...target, lun: 'integer', path: 'path', serial: 'word' } },
    identify: {
      optional: true,
      params: { ...target, lun: 'integer', serial: 'word', 'scsi.id': 'word', 'lun.readOnly': 'integer' },
    },
    createAccount: { optional: true, params: chap },
    bindAccount: { optional: true, params: { ...target, 'chap.user': 'word' } },
    unbindAccount: { optional: true, params: { ...target, 'chap.user': 'word' } },
    deleteAccount: { optional: true, params: { 'chap.user': 'word' } },
    allow: { params: { ...target, ...chap, initiator: 'iqn', lun: 'integer', 'lun.readOnly': 'integer' } },
    deny: { params: { ...target, initiator: 'iqn', lun: 'integer' } },
    denyAddress: { optional: true, params: { ...target, address: 'word' } },
    cut: { optional: true, params: { ...target, session: 'integer', connection: 'integer' } },
    deleteLun: { params: { ...target, lun: 'integer' } },
    deleteTarget: { params: target },
  },
  together: [
    ['createAccount', 'bindAccount', 'unbindAccount', 'deleteAccount', 'accounts'],
    ['addPortal', 'removePortal'],
    ['connections', 'cut'],
  ],
};

/** What a VMM that logs in itself needs, and what a session of this host needs; see `needs`. */
const initiator: RoleShape = {
  keys: ['provides'],
  can: {},
  verbs: {
    version,
    serial: {
      optional: true,
      look: true,
      params: session,
      answers: ['denied', 'absent', 'unreachable'],
      rows: { '': { need: ['serial'] } },
    },
    capacity: {
      optional: true,
      look: true,
      params: session,
      answers: ['denied', 'absent', 'unreachable'],
      rows: { '': { need: ['size'] } },
    },
    read: {
      optional: true,
      look: true,
      params: { ...session, offset: 'bytes', length: 'bytes', path: 'path' },
      answers: ['denied', 'absent', 'unreachable'],
    },
    sessions: {
      optional: true,
      look: true,
      rows: { '': { need: ['session'], may: ['host', 'iqn', 'user', 'state'] } },
    },
    records: { optional: true, look: true, answers: ['absent'], rows: { '': { need: ['iqn', 'portal'] } } },
    interface: { optional: true, look: true, answers: ['absent'], rows: { '': { need: ['initiator'] } } },
    lock: { optional: true, look: true, answers: ['absent'], rows: { '': { need: ['changed'] } } },
    lockers: { optional: true, look: true, answers: ['absent'], rows: { '': { need: ['process'] } } },
    unlock: { optional: true },
    links: {
      optional: true,
      look: true,
      answers: ['absent'],
      rows: { '': { need: ['volumeID', 'grant', 'link', 'to'] } },
    },
    device: {
      optional: true,
      look: true,
      params: loggedIn,
      answers: ['absent'],
      rows: { '': { need: ['device', 'sectors'] } },
    },
    unitSerial: {
      optional: true,
      look: true,
      params: loggedIn,
      answers: ['absent'],
      rows: { '': { need: ['serial'] } },
    },
    holders: {
      optional: true,
      look: true,
      params: loggedIn,
      answers: ['absent'],
      rows: { '': { need: ['holder'] } },
    },
    node: {
      optional: true,
      look: true,
      params: { device: 'word' },
      answers: ['absent'],
      rows: { '': { need: ['path', 'kind'] } },
    },
    createInterface: { optional: true, params: { initiator: 'iqn' } },
    nameInterface: { optional: true, params: { initiator: 'iqn' } },
    createRecord: { optional: true, params: session },
    deleteRecord: { optional: true, params: { iqn: 'iqn', ...portal } },
    login: { optional: true, params: session },
    logout: { optional: true, params: { iqn: 'iqn', session: 'integer' } },
    portal: {
      optional: true,
      look: true,
      params: { session: 'integer' },
      answers: ['absent'],
      rows: { '': { need: [], may: ['address', 'port'] } },
    },
    revive: { optional: true },
    scan: { optional: true, params: loggedIn },
    setPatience: { optional: true, params: loggedIn },
    rescan: { optional: true, params: loggedIn },
    flush: { optional: true, params: { iqn: 'iqn', device: 'word' } },
    deleteDevice: { optional: true, params: loggedIn },
    link: { optional: true, params: { ...link, device: 'word' } },
    unlink: { optional: true, params: link },
  },
  together: [
    ['lock', 'lockers', 'unlock'],
    ['portal', 'revive'],
  ],
  needs: {
    iscsi: ['serial', 'capacity'],
    block: [
      'sessions',
      'records',
      'interface',
      'links',
      'device',
      'unitSerial',
      'holders',
      'node',
      'createInterface',
      'nameInterface',
      'createRecord',
      'deleteRecord',
      'login',
      'logout',
      'scan',
      'rescan',
      'flush',
      'deleteDevice',
      'link',
      'unlink',
    ],
  },
};

const vmm: RoleShape = {
  keys: ['accepts', 'devices'],
  can: {
    readOnly: 'boolean',
    serialMax: 'integer',
    keepsDisks: 'boolean',
    growOnline: 'boolean',
    growReadOnly: 'boolean',
  },
  verbs: {
    version,
    instances: {
      look: true,
      rows: {
        '': { need: ['name', 'state'], may: ['uuid', 'id', 'vmid'] },
        uuid: { need: ['id', 'uuid'] },
      },
    },
    disks: {
      look: true,
      params: instance,
      mayLack,
      answers: ['absent', 'notRunning'],
      rows: {
        instance: { need: ['uuid'], may: ['live'] },
        disk: { need: ['device'], may: ['serial', 'alias', 'source', 'path', 'grant', 'state', 'sectors'] },
      },
    },
    holders: { optional: true, look: true, rows: { '': { need: ['id'] } } },
    settled: {
      optional: true,
      look: true,
      params: instance,
      mayLack,
      answers: ['absent', 'notRunning', 'busy'],
    },
    defineSecret: {
      optional: true,
      params: { 'grant.uuid': 'uuid', 'chap.user': 'word', 'chap.password': 'secret' },
    },
    removeSecret: { optional: true, params: { 'grant.uuid': 'uuid' } },
    secrets: { optional: true, look: true, rows: { '': { need: ['grant'] } } },
    'attach.block': { optional: true, params: { ...disk, path: 'path' }, mayLack },
    'attach.iscsi': { optional: true, params: { ...disk, ...session, 'grant.uuid': 'uuid' }, mayLack },
    resize: { optional: true, params: { ...oneDisk, size: 'bytes' }, mayLack },
    size: {
      optional: true,
      look: true,
      params: oneDisk,
      mayLack,
      answers: ['absent', 'notRunning'],
      rows: { '': { need: ['size'] } },
    },
    cancel: { optional: true, params: oneDisk, mayLack },
    detach: { params: oneDisk, mayLack },
  },
};

export const ROLES: Readonly<Record<RoleName, RoleShape>> = { pool, target: targetRole, initiator, vmm };
