/** What the daemon shows, read as exports of ours. */

import type { BoundProfile } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { flagOf, wholeOf } from './cells.ts';
import type { Export } from './target.ts';

export const DEFAULT_IQN_PREFIX = 'iqn.2026-11.dev.vbs';
export const LUN = 1;
const VOLUME_ID = /^vol[0-9a-f]{17}$/;

export const iqnOf = (volumeID: string, prefix: string = DEFAULT_IQN_PREFIX): string =>
  `${prefix}:${volumeID}`;

/** A second name for the LUN beside its serial, so that neither follows the target's number. */
export const scsiIdOf = (serial: string): string => `VBS${serial}`;

/** An Export with what only this procedure needs. */
export interface Found extends Export {
  readonly tid: bigint;
  readonly luns: readonly bigint[];
}

/** What looks and changes of targets need. */
export interface TargetWorld {
  readonly profile: BoundProfile;
  readonly prefix: string;
  readonly settleMs: number;
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

const isReady = (target: Row, lun: Row | undefined, volumeID: string): boolean =>
  target.state === 'ready' &&
  lun !== undefined &&
  lun.path !== '' &&
  lun.path !== 'None' &&
  (lun.online === undefined || flagOf(lun, 'online')) &&
  (lun.type === undefined || lun.type === 'disk') &&
  lun.serial === volumeID &&
  (lun.scsiID === undefined || lun.scsiID === scsiIdOf(volumeID));

const unique = (names: readonly (string | undefined)[]): readonly string[] => [
  ...new Set(names.filter((name) => name !== undefined)),
];

/** `rows` are those of this target. */
const foundOf = (target: Row, rows: readonly Row[], volumeID: string): Found => {
  const { iqn = '' } = target;
  const ofKind = (kind: string) => rows.filter((row) => row.kind === kind);
  const luns = ofKind('lun');
  const lun = luns.find((row) => wholeOf(row, 'lun') === BigInt(LUN));
  return {
    volumeID,
    iqn,
    lun: LUN,
    tid: wholeOf(target, 'tid'),
    luns: luns.map((row) => wholeOf(row, 'lun')),
    ready: isReady(target, lun, volumeID),
    readOnly: lun?.readOnly !== undefined && flagOf(lun, 'readOnly'),
    allowed: unique(ofKind('access').map(({ initiator }) => initiator)),
    chapUsers: unique(ofKind('account').map(({ user }) => user)),
    sessions: unique(ofKind('session').map(({ initiator }) => initiator)),
    ...(lun?.path === undefined ? {} : { path: lun.path }),
    ...(lun?.serial === undefined ? {} : { serial: lun.serial }),
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

export const look = async ({ profile, prefix }: TargetWorld, signal: AbortSignal): Promise<Look> => {
  const { rows } = await profile.call('show', {}, signal);
  const targets = rows.filter(({ kind }) => kind === 'target');
  // Grouped once: hundreds of targets are looked at together, many times in each attach.
  const byTarget = Map.groupBy(rows, ({ iqn }) => iqn);
  const ours = targets.flatMap((target) => {
    const volumeID = target.iqn?.slice(prefix.length + 1) ?? '';
    const isOurs = VOLUME_ID.test(volumeID) && target.iqn === iqnOf(volumeID, prefix);
    return isOurs ? [foundOf(target, byTarget.get(target.iqn) ?? [], volumeID)] : [];
  });
  const bound = rows.filter(({ kind }) => kind === 'account').map(({ user }) => user ?? '');
  return { ours, tids: targets.map((target) => wholeOf(target, 'tid')), bound };
};
