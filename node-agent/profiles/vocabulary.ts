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
  /** Top-level keys that only some roles have. */
  readonly keys: readonly ('accepts' | 'provides' | 'devices')[];
}

const version: VerbShape = { optional: true, look: true, rows: { '': { need: ['version'] } } };
const volume = { 'volume.id': 'volumeID' } as const;
const backing = { 'backing.id': 'backingID' } as const;
const target = { tid: 'integer', iqn: 'iqn' } as const;
const instance = { 'instance.uuid': 'uuid', 'instance.id': 'word' } as const;
/** A tool that knows its machines by UUID has no other ids. */
const mayLack = ['instance.id'] as const;
const session = {
  iqn: 'iqn',
  lun: 'integer',
  'portal.host': 'host',
  'portal.port': 'integer',
  initiator: 'iqn',
  'chap.user': 'word',
  'chap.password': 'secret',
} as const;
const oneDisk = { ...instance, ...volume, device: 'word' } as const;
const disk = {
  ...oneDisk,
  readOnly: 'flag',
  'disk.access': 'word',
  'disk.readOnly': 'integer',
} as const;

const pool: RoleShape = {
  keys: [],
  can: { growOnline: 'boolean', snapshotAttached: 'boolean', snapshotsOutlive: 'boolean' },
  verbs: {
    version,
    contents: { look: true, answers: ['absent'], rows: { '': { need: ['name'] } } },
    prepare: { params: { 'pool.identity': 'uuid' } },
    identity: { look: true, answers: ['absent'], rows: { '': { need: ['identity'] } } },
    capacity: { look: true, rows: { '': { need: ['total', 'free'] } } },
    volumes: {
      look: true,
      rows: { '': { need: ['id', 'state', 'size', 'path'], may: ['allocated', 'cluster'] } },
    },
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
        'owner.cluster': 'uuid',
        'owner.namespace': 'word',
        'owner.name': 'word',
      },
    },
    complete: { params: backing },
    retire: { params: backing },
    retireProvisional: { params: backing },
    free: { params: backing },
    grow: { params: { ...backing, size: 'bytes' } },
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
        target: { need: ['iqn', 'tid', 'state'] },
        lun: { need: ['iqn', 'lun', 'path'], may: ['tid', 'serial', 'scsiID', 'online', 'readOnly', 'type'] },
        session: { need: ['iqn', 'initiator'], may: ['tid', 'session'] },
        account: { need: ['iqn', 'user'], may: ['tid'] },
        access: { need: ['iqn', 'initiator'], may: ['tid'] },
      },
    },
    connections: {
      look: true,
      params: target,
      answers: ['absent'],
      rows: { '': { need: ['session', 'connection', 'initiator'] } },
    },
    accounts: { look: true, rows: { '': { need: ['user'] } } },
    createTarget: { params: target },
    createLun: { params: { ...target, lun: 'integer', path: 'path' } },
    identify: {
      params: { ...target, lun: 'integer', serial: 'word', 'scsi.id': 'word', 'lun.readOnly': 'integer' },
    },
    createAccount: { params: { 'chap.user': 'word', 'chap.password': 'secret' } },
    bindAccount: { params: { ...target, 'chap.user': 'word' } },
    unbindAccount: { params: { ...target, 'chap.user': 'word' } },
    deleteAccount: { params: { 'chap.user': 'word' } },
    allow: { params: { ...target, initiator: 'iqn' } },
    deny: { params: { ...target, initiator: 'iqn' } },
    denyAddress: { optional: true, params: { ...target, address: 'word' } },
    cut: { params: { ...target, session: 'integer', connection: 'integer' } },
    deleteLun: { params: { ...target, lun: 'integer' } },
    deleteTarget: { params: target },
  },
};

const initiator: RoleShape = {
  keys: ['provides'],
  can: {},
  verbs: {
    version,
    serial: {
      look: true,
      params: session,
      answers: ['denied', 'absent', 'unreachable'],
      rows: { '': { need: ['serial'] } },
    },
    capacity: {
      look: true,
      params: session,
      answers: ['denied', 'absent', 'unreachable'],
      rows: { '': { need: ['size'] } },
    },
  },
};

const vmm: RoleShape = {
  keys: ['accepts', 'devices'],
  can: { readOnly: 'boolean', serialMax: 'integer', keepsDisks: 'boolean' },
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
        disk: { need: ['device'], may: ['serial', 'alias', 'source', 'path', 'grant', 'state'] },
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
    cancel: { optional: true, params: oneDisk, mayLack },
    detach: { params: oneDisk, mayLack },
  },
};

export const ROLES: Readonly<Record<RoleName, RoleShape>> = { pool, target: targetRole, initiator, vmm };
