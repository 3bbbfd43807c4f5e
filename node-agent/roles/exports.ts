/** What the daemon shows, read as exports of ours. */

import { isBackingID } from '../../api/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { flagOf, sectorsOf, wholeOf } from './cells.ts';
import type { Export } from './target.ts';

export const DEFAULT_IQN_PREFIX = 'iqn.2026-11.dev.vbs';
export const LUN = 1;

export const iqnOf = (volumeID: string, prefix: string = DEFAULT_IQN_PREFIX): string =>
  `${prefix}:${volumeID}`;

/** A second name for the LUN beside its serial, so that neither follows the target's number. */
export const scsiIdOf = (serial: string): string => `VBS${serial}`;

/** An Export with what only this procedure needs. */
export interface Found extends Export {
  /** 0 where targets have no numbers. */
  readonly tid: bigint;
  readonly luns: readonly bigint[];
  /** Everybody on the access list, also where a crash left access half made. */
  readonly entries: readonly string[];
  /** `host:port` where this very target listens; empty where the daemon has portals for all targets. */
  readonly portals: readonly string[];
  readonly missingPortals: readonly string[];
  /** What makes the target unfit to be entered, in words. */
  readonly faults: readonly string[];
}

/** What looks and changes of targets need. */
export interface TargetWorld {
  readonly profile: BoundProfile;
  readonly prefix: string;
  /** `host:port`, an IPv6 host in brackets. */
  readonly portals: readonly string[];
  readonly settleMs: number;
  readonly clock: Pick<Clock, 'sleep'>;
}

/** Rows of the same thing, which a profile may give in parts, taken together. */
const merged = (rows: readonly Row[], key: string): readonly Row[] => {
  const byName = new Map<string, Row>();
  for (const row of rows) {
    const name = row[key] ?? '';
    byName.set(name, { ...byName.get(name), ...row });
  }
  return [...byName.values()];
};

const unique = (names: readonly (string | undefined)[]): readonly string[] => [
  ...new Set(names.filter((name) => name !== undefined)),
];

const ofKind = (rows: readonly Row[], kind: string, iqn?: string): readonly Row[] =>
  rows.filter((row) => row.kind === kind && (iqn === undefined || row.iqn === iqn));

/** The LUN that volumes are shown under, with what its backstore says where the two are told apart. */
const lunOf = (luns: readonly Row[], rows: readonly Row[]): Row | undefined => {
  const lun = merged(luns, 'lun').find((row) => wholeOf(row, 'lun') === BigInt(LUN));
  const store = merged(ofKind(rows, 'store'), 'store').find((row) => row.store === lun?.store);
  return lun?.store === undefined ? lun : { ...store, ...lun };
};

/** Of the device behind the backstore, where the profile tells of devices. */
const shownBytes = (lun: Row | undefined, rows: readonly Row[]): bigint | undefined => {
  const device =
    lun?.device === undefined ? undefined : ofKind(rows, 'device').find((row) => row.device === lun.device);
  return device === undefined ? undefined : sectorsOf(device);
};

const isWhole = (lun: Row | undefined, volumeID: string): boolean =>
  lun?.path !== undefined &&
  lun.path !== '' &&
  lun.path !== 'None' &&
  (lun.online === undefined || flagOf(lun, 'online')) &&
  (lun.type === undefined || lun.type === 'disk') &&
  lun.serial === volumeID &&
  (lun.scsiID === undefined || lun.scsiID === scsiIdOf(volumeID));

/** Where accounts belong to an access entry, an entry without one lets nobody in: it is not made to its end. */
const allowedOf = ({ profile }: TargetWorld, entries: readonly string[], accounts: readonly Row[]) =>
  profile.has('bindAccount')
    ? entries
    : entries.filter((entry) => accounts.some(({ initiator }) => initiator === entry));

const foundOf = (world: TargetWorld, target: Row, rows: readonly Row[], volumeID: string): Found => {
  const { iqn = '' } = target;
  const luns = ofKind(rows, 'lun', iqn);
  const lun = lunOf(luns, rows);
  const sizeBytes = shownBytes(lun, rows);
  const accounts = ofKind(rows, 'account', iqn);
  const entries = unique(ofKind(rows, 'access', iqn).map(({ initiator }) => initiator));
  const portals = unique(ofKind(rows, 'portal', iqn).map(({ portal }) => portal));
  const missingPortals = world.profile.has('addPortal')
    ? world.portals.filter((portal) => !portals.includes(portal))
    : [];
  const faults = unique([...ofKind(rows, 'fault', iqn).map(({ fault }) => fault), lun?.fault]);
  const isFit = faults.length === 0 && missingPortals.length === 0;
  return {
    volumeID,
    iqn,
    lun: LUN,
    tid: target.tid === undefined ? 0n : wholeOf(target, 'tid'),
    luns: luns.map((row) => wholeOf(row, 'lun')),
    ready: target.state === 'ready' && isFit && isWhole(lun, volumeID),
    readOnly: lun?.readOnly !== undefined && flagOf(lun, 'readOnly'),
    allowed: allowedOf(world, entries, accounts),
    entries,
    portals,
    missingPortals,
    faults,
    chapUsers: unique(accounts.map(({ user }) => user)),
    sessions: unique(ofKind(rows, 'session', iqn).map(({ initiator }) => initiator)),
    ...(lun?.path === undefined ? {} : { path: lun.path }),
    ...(lun?.serial === undefined ? {} : { serial: lun.serial }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  };
};

/** What one look at the daemon shows. */
export interface Look {
  readonly ours: readonly Found[];
  /** Of every target there is, foreign ones too. */
  readonly tids: readonly bigint[];
  /** Every account that is bound to any target. */
  readonly bound: readonly string[];
}

/** Volumes whose backstore is there under no target at all: it still keeps the volume open. */
const orphansOf = (rows: readonly Row[]): readonly string[] => {
  const used = ofKind(rows, 'lun').map(({ store }) => store);
  const names = ofKind(rows, 'store').flatMap(({ store = '' }) =>
    used.includes(store) ? [] : [store.split('/').at(-1) ?? ''],
  );
  return unique(names.filter((name) => isBackingID(name)));
};

export const look = async (world: TargetWorld, signal: AbortSignal): Promise<Look> => {
  const { profile, prefix } = world;
  const { rows } = await profile.call('show', {}, signal);
  const targets = merged(ofKind(rows, 'target'), 'iqn');
  // Grouped once: hundreds of targets are looked at together, many times in each attach. Backstores name no target.
  const byTarget = Map.groupBy(rows, ({ iqn }) => iqn);
  const rowsOf = (target: Row) => [...(byTarget.get(target.iqn) ?? []), ...(byTarget.get(undefined) ?? [])];
  const shown = targets.flatMap((target) => {
    const volumeID = target.iqn?.slice(prefix.length + 1) ?? '';
    const isOurs = isBackingID(volumeID) && target.iqn === iqnOf(volumeID, prefix);
    return isOurs ? [foundOf(world, target, rowsOf(target), volumeID)] : [];
  });
  const orphans = orphansOf(rows)
    .filter((volumeID) => !shown.some((one) => one.volumeID === volumeID))
    .map((volumeID) => foundOf(world, { iqn: iqnOf(volumeID, prefix) }, rows, volumeID));
  const bound = ofKind(rows, 'account').map(({ user }) => user ?? '');
  const tids = targets.flatMap((target) => (target.tid === undefined ? [] : [wholeOf(target, 'tid')]));
  return { ours: [...shown, ...orphans], tids, bound };
};
