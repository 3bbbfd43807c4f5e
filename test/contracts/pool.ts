// What a pool's tool does, and what the pool role makes of it: logical volumes of one volume group, thick or thin. A rig has a place of
// its own for it, with some other volumes' old bytes on its disks.

import * as assert from 'uvu/assert';
import { nextRange } from '../../node-agent/exec/files.ts';
import type { BoundProfile } from '../../node-agent/profiles/bind.ts';
import type { Row } from '../../node-agent/profiles/row.ts';
import type { Values } from '../../node-agent/profiles/values.ts';
import {
  BackingNotFound,
  Busy,
  CannotLook,
  Mismatch,
  NoSpace,
  NotDone,
  NotOurs,
  PoolMissing,
} from '../../node-agent/roles/errors.ts';
import type { Pool } from '../../node-agent/roles/pool.ts';
import { profiledPool } from '../../node-agent/roles/profiled-pool.ts';
import {
  type AnyRig,
  type Check,
  expectFailure,
  expectOutcome,
  signal,
  snapshotID,
  volumeID,
} from './check.ts';

export interface PoolRig extends AnyRig {
  readonly profile: BoundProfile;
  /** The same profile over a volume group, or a thin pool, that is not there. */
  readonly nowhere: readonly BoundProfile[];
  /** The same profile for somebody who may not. */
  readonly denied: BoundProfile;
  /** Where its volumes' device nodes are. */
  readonly directory: string;
  /** Names of all volumes that are there, whoever's; as the tool shows them, or another one. */
  names(): Promise<readonly string[]>;
  tagsOf(name: string): Promise<readonly string[]>;
  /** A volume of somebody else. Of thin ones only the size is known. */
  makeOthers(name: string, extents: number): Promise<void>;
  /** As an exporting target holds it: open, for itself alone. Answers how it is let go. */
  hold(name: string): Promise<() => Promise<void>>;
  /** Whatever is free holds old bytes: `old`. */
  soil(): Promise<void>;
  /** Into each of so many mebibytes. */
  write(
    name: string,
    from: { readonly mebibyte: number; readonly count?: number },
    word: string,
  ): Promise<void>;
  /** Of each mebibyte; empty where all of it is zero. */
  words(name: string): Promise<readonly string[]>;
  /** As after a boot that did not bring it back, or a command that was killed. */
  deactivate(name: string): Promise<void>;
  /** Takes space away from the store of a snapshot. */
  reduce(name: string, extents: number): Promise<void>;
}

export const MIB = 1024n * 1024n;
export const EXTENT = 4n * MIB;
/** Of a thick place; a thin pool has half of them. */
export const EXTENTS = 32;
const PER_EXTENT = 4;
export const ID = volumeID(0x101);
export const OTHER = volumeID(0x102);
export const SNAP = snapshotID(0x103);
const IDENTITY = '11111111-2222-4333-8444-555555555555';
export const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const tags = { 'owner.cluster': CLUSTER, 'owner.namespace': 'team-a', 'owner.name': 'db.main' } as const;
const OWNER_ROW = { cluster: CLUSTER, namespace: 'team-a', name: 'db.main' } as const;
export const owner = { clusterID: CLUSTER, namespace: 'team-a', name: 'db.main' } as const;

const isThin = ({ profile }: PoolRig): boolean => profile.name === 'lvm-thin';
const poolOf = ({ profile }: PoolRig): Pool => profiledPool(profile, { name: 'p', clusterID: CLUSTER });
const pathIn = ({ directory }: PoolRig, name: string): string => `${directory}/${name}`;

type Call = readonly [verb: string, values: Values];
const ofID = (verb: string, id = ID): Call => [verb, { 'backing.id': id }];
const createCall = (id: string, sizeBytes: bigint): Call => [
  'create',
  { 'backing.id': id, size: sizeBytes, ...tags },
];
const snapshotCall = (id: string, sourceID: string, roomBytes: bigint): Call => [
  'snapshot',
  { 'backing.id': id, 'source.id': sourceID, room: roomBytes, ...tags },
];
const sized = (verb: string, id: string, sizeBytes: bigint): Call => [
  verb,
  { 'backing.id': id, size: sizeBytes, ...(verb === 'grow' ? { clean: EXTENT } : {}) },
];
const adoptCall = (id: string, sourceID: string): Call => [
  'adopt',
  {
    ...{ 'backing.id': id, 'source.id': sourceID, 'source.namespace': 'team-a', 'source.name': 'db.main' },
    ...{ ...tags, 'owner.namespace': 'team-b', 'owner.name': 'heir' },
  },
];
const onDevice = (
  { directory }: PoolRig,
  [verb, name]: readonly [verb: 'zero' | 'wipe', name: string],
  range: { readonly offset: bigint; readonly length: bigint },
): Call => [verb, { 'backing.id': ID, 'backing.path': `${directory}/${name}`, ...range }];

const ok = async (rig: PoolRig, ...calls: readonly Call[]): Promise<void> => {
  for (const call of calls) {
    await expectOutcome(rig.profile, call, 'ok');
  }
};

const rowsOf = async ({ profile }: PoolRig, kind: 'pool' | 'volume'): Promise<readonly Row[]> => {
  const { rows } = await expectOutcome(profile, ['look', {}], 'ok');
  return rows.filter((row) => row.kind === kind).toSorted((a, b) => (a.id ?? '').localeCompare(b.id ?? ''));
};

const rowOf = async (rig: PoolRig, id = ID): Promise<Row> => {
  const rows = (await rowsOf(rig, 'volume')).filter((row) => row.id === id);
  assert.is(rows.length, 1, `one row of ${id}`);
  return rows[0] ?? {};
};

const namesAre = async (rig: PoolRig, names: readonly string[]): Promise<void> => {
  assert.equal((await rig.names()).toSorted(), names.toSorted(), 'the volumes that are there');
};

const readAt = async (rig: PoolRig, name: string, mebibyte: number): Promise<string | undefined> =>
  (await rig.words(name))[mebibyte];

const inBoth: readonly Check<PoolRig>[] = [
  {
    name: 'an empty place: its size, nothing in it, no identity; then the one it was given, once',
    run: async (rig) => {
      const [place = {}] = await rowsOf(rig, 'pool');
      const extents = isThin(rig) ? EXTENTS / 2 : EXTENTS;
      assert.is(place.total, String(BigInt(extents) * EXTENT));
      assert.is(place.extent, String(EXTENT));
      assert.is(place.identity, undefined);
      assert.is(place.problem, undefined);
      assert.is(place.fault, undefined);
      assert.is(isThin(rig) ? place.usedPercent : place.free, isThin(rig) ? '0.00' : place.total);
      assert.equal(await rowsOf(rig, 'volume'), []);
      const { rows } = await expectOutcome(rig.profile, ['contents', {}], 'ok');
      assert.equal(rows, []);
      const prepare: Call = ['prepare', { 'pool.identity': IDENTITY }];
      await ok(rig, prepare, prepare);
      assert.is((await rowsOf(rig, 'pool'))[0]?.identity, IDENTITY);
    },
  },
  {
    name: 'a place that is not there: all answer so, and the looks do not answer that it is empty',
    run: async (rig) => {
      for (const place of rig.nowhere) {
        await expectOutcome(place, ['contents', {}], 'absent');
        await expectOutcome(place, ['prepare', { 'pool.identity': IDENTITY }], 'absent');
        await expectOutcome(place, createCall(ID, EXTENT), 'absent');
        const missing = profiledPool(place, { name: 'p', clusterID: CLUSTER });
        await expectFailure(missing.observe(signal), PoolMissing, 'to observe it');
        await expectFailure(missing.prepare(signal), PoolMissing, 'to prepare it');
        await expectFailure(missing.create(ID, 1n, owner, signal), PoolMissing, 'to create in it');
      }
      const [group] = rig.nowhere;
      assert.ok(group);
      await expectOutcome(group, ['look', {}], 'absent');
      const calls = [
        ...['complete', 'retire', 'retain', 'retireRetained', 'retireProvisional', 'free'].map((verb) =>
          ofID(verb),
        ),
        snapshotCall(SNAP, ID, EXTENT),
        adoptCall(OTHER, ID),
        sized('resume', ID, EXTENT),
        sized('grow', ID, EXTENT),
      ];
      for (const call of calls) {
        await expectOutcome(group, call, 'absent');
      }
    },
  },
  {
    name: 'somebody who may not: denied, and no look answers that nothing is there',
    run: async (rig) => {
      await ok(rig, createCall(ID, EXTENT));
      const calls = [
        ...['complete', 'retireProvisional', 'free'].map((verb) => ofID(verb)),
        createCall(OTHER, EXTENT),
        sized('resume', ID, 2n * EXTENT),
        ['prepare', { 'pool.identity': IDENTITY }] as const,
        onDevice(rig, [isThin(rig) ? 'wipe' : 'zero', `${ID}.new`], { offset: 0n, length: MIB }),
      ];
      for (const call of calls) {
        await expectOutcome(rig.denied, call, 'denied');
      }
      for (const look of ['look', 'contents']) {
        await expectFailure(rig.denied.call(look, {}, signal), CannotLook, look);
      }
      await namesAre(rig, [`${ID}.new`]);
    },
  },
  {
    name: 'what is new has the size asked for, up to a whole extent, its owner, and its name twice only once',
    run: async (rig) => {
      await ok(rig, createCall(ID, EXTENT + 512n));
      const expected = {
        ...{ kind: 'volume', id: ID, state: 'provisional', size: String(2n * EXTENT) },
        ...{ path: pathIn(rig, `${ID}.new`), ...OWNER_ROW },
        ...(isThin(rig) ? { allocatedPercent: '0.00' } : {}),
      };
      assert.equal(await rowOf(rig), expected);
      assert.equal((await rig.tagsOf(`${ID}.new`)).toSorted(), [
        `vbs.cluster=${CLUSTER}`,
        'vbs.owner=team-a/db.main',
      ]);
      await expectOutcome(rig.profile, createCall(ID, EXTENT), 'exists');
      assert.equal(await rowOf(rig), expected);
    },
  },
  {
    name: 'a size that is no whole number of sectors is refused, and nothing is made',
    run: async (rig) => {
      await expectOutcome(rig.profile, createCall(ID, EXTENT + 1n), 'failed');
      await namesAre(rig, []);
      await ok(rig, createCall(ID, EXTENT));
      await expectOutcome(rig.profile, sized('resume', ID, 2n * EXTENT - 1n), 'failed');
      assert.is((await rowOf(rig)).size, String(EXTENT));
    },
  },
  {
    name: 'names are states: each name once, from the one it is asked of, and onto no other',
    run: async (rig) => {
      const turns = [
        ['complete', '.new', ''],
        ['retain', '', '.retained'],
        ['retireRetained', '.retained', '.dying'],
        ['retire', '', '.dying'],
        ['retireProvisional', '.new', '.dying'],
      ] as const;
      for (const [verb] of turns) {
        await expectOutcome(rig.profile, ofID(verb), 'absent');
      }
      await ok(rig, createCall(ID, EXTENT), ofID('complete'));
      for (const [verb, states, named] of [
        ['retain', 'retained', '.retained'],
        ['retireRetained', 'dying', '.dying'],
      ] as const) {
        await ok(rig, ofID(verb));
        assert.is((await rowOf(rig)).state, states);
        await namesAre(rig, [`${ID}${named}`]);
        await expectOutcome(rig.profile, ofID(verb), 'absent');
      }
      for (const verb of ['retire', 'retireProvisional'] as const) {
        await ok(rig, createCall(ID, EXTENT), ...(verb === 'retire' ? [ofID('complete')] : []));
        await expectOutcome(rig.profile, ofID(verb), 'exists');
        await namesAre(rig, [`${ID}.dying`, verb === 'retire' ? ID : `${ID}.new`]);
        if (verb === 'retire') {
          await ok(rig, ofID('free'), ofID('retire'));
        }
      }
    },
  },
  {
    name: 'what is taken over has another owner and another name, and may be taken over once',
    run: async (rig) => {
      await ok(rig, createCall(ID, EXTENT), ofID('complete'), ofID('retain'), adoptCall(OTHER, ID));
      const { size: _, allocatedPercent: __, ...row } = await rowOf(rig, OTHER);
      assert.equal(row, {
        ...{ kind: 'volume', id: OTHER, state: 'provisional', path: pathIn(rig, `${OTHER}.new`) },
        ...{ cluster: CLUSTER, namespace: 'team-b', name: 'heir' },
      });
      await expectOutcome(rig.profile, adoptCall(OTHER, ID), 'absent');
      await namesAre(rig, [`${OTHER}.new`]);
    },
  },
  {
    name: 'to be taken over, what was cut short goes on: the owner changed, the name not yet',
    run: async (rig) => {
      await ok(rig, createCall(ID, EXTENT), ofID('complete'), ofID('retain'), createCall(OTHER, EXTENT));
      await expectOutcome(rig.profile, adoptCall(OTHER, ID), 'exists');
      assert.equal((await rig.tagsOf(`${ID}.retained`)).toSorted(), [
        `vbs.cluster=${CLUSTER}`,
        'vbs.owner=team-b/heir',
      ]);
      await ok(rig, ofID('retireProvisional', OTHER), ofID('free', OTHER), adoptCall(OTHER, ID));
      await namesAre(rig, [`${OTHER}.new`]);
    },
  },
  {
    name: 'to free: the dying one alone, and not one that is open',
    run: async (rig) => {
      await expectOutcome(rig.profile, ofID('free'), 'absent');
      await ok(rig, createCall(ID, EXTENT));
      await expectOutcome(rig.profile, ofID('free'), 'absent');
      await ok(rig, ofID('retireProvisional'));
      const release = await rig.hold(`${ID}.dying`);
      await expectOutcome(rig.profile, ofID('free'), 'busy');
      await namesAre(rig, [`${ID}.dying`]);
      await release();
      await ok(rig, ofID('free'));
      await namesAre(rig, []);
      await expectOutcome(rig.profile, ofID('free'), 'absent');
    },
  },
  {
    name: 'one that is open changes its name all the same',
    run: async (rig) => {
      await ok(rig, createCall(ID, EXTENT), ofID('complete'));
      const release = await rig.hold(ID);
      await ok(rig, ofID('retire'));
      await namesAre(rig, [`${ID}.dying`]);
      await release();
    },
  },
  {
    name: 'to resume: active again, and of the size asked for; never smaller',
    run: async (rig) => {
      const { profile } = rig;
      await expectOutcome(profile, sized('resume', ID, EXTENT), 'absent');
      await ok(rig, createCall(ID, EXTENT));
      await rig.deactivate(`${ID}.new`);
      assert.is(
        (await rowOf(rig)).allocatedPercent,
        isThin(rig) ? '' : undefined,
        'of one that is not active',
      );
      await ok(rig, sized('resume', ID, EXTENT));
      await rig.write(`${ID}.new`, { mebibyte: 0 }, 'active');
      await ok(rig, sized('resume', ID, 2n * EXTENT));
      assert.is((await rowOf(rig)).size, String(2n * EXTENT));
      await expectOutcome(profile, sized('resume', ID, EXTENT), 'failed');
      assert.is((await rowOf(rig)).size, String(2n * EXTENT));
      assert.is(await readAt(rig, `${ID}.new`, 0), 'active');
    },
  },
  {
    name: 'of one that is not active there is no device, and it is freed like any other',
    run: async (rig) => {
      await ok(rig, createCall(ID, EXTENT), ofID('retireProvisional'));
      await rig.deactivate(`${ID}.dying`);
      const wipe = onDevice(rig, ['wipe', `${ID}.dying`], { offset: 0n, length: MIB });
      await expectOutcome(rig.profile, wipe, 'absent');
      await ok(rig, ofID('free'));
      await namesAre(rig, []);
    },
  },
  {
    name: 'what is not ours by its name is not shown, and what has our name and no owner is shown without one',
    run: async (rig) => {
      await rig.makeOthers('root', 1);
      await rig.makeOthers(OTHER, 1);
      await rig.makeOthers(`${OTHER}.old`, 1);
      const rows = await rowsOf(rig, 'volume');
      assert.equal(
        rows.map(({ id, state, cluster }) => [id, state, cluster]),
        [[OTHER, 'complete', undefined]],
      );
      const { rows: contents } = await expectOutcome(rig.profile, ['contents', {}], 'ok');
      assert.equal(contents.map(({ name }) => name).toSorted(), ['root', OTHER, `${OTHER}.old`].toSorted());
    },
  },
  {
    name: 'the role: an empty place is prepared, one with anything in it is not',
    run: async (rig) => {
      const pool = poolOf(rig);
      await rig.makeOthers('root', 1);
      await expectFailure(pool.observe(signal), PoolMissing, 'to observe what is no pool');
      await expectFailure(pool.prepare(signal), NotOurs, 'to prepare what holds something');
      await rig.reset();
      const identity = await pool.prepare(signal);
      assert.is(await pool.prepare(signal), identity);
      assert.is((await pool.observe(signal)).identity, identity);
    },
  },
  {
    name: 'the role: a volume from its order to its end',
    run: async (rig) => {
      const pool = poolOf(rig);
      await rig.soil();
      await pool.prepare(signal);
      for (let times = 0; times < 2; times += 1) {
        await make(pool, ID, EXTENT + 1n);
      }
      const seen = await pool.observe(signal);
      assert.equal(seen.backings, [
        {
          ...{ id: ID, state: 'complete', sizeBytes: 2n * EXTENT, path: pathIn(rig, ID), clusterID: CLUSTER },
          owner: { namespace: owner.namespace, name: owner.name },
        },
      ]);
      assert.is(seen.freeBytes, seen.totalBytes - 2n * EXTENT);
      assert.equal(await rig.words(ID), Array(8).fill(''), 'nothing of others is in it');
      await rig.write(ID, { mebibyte: 7 }, 'mine');
      const release = await rig.hold(ID);
      await pool.retire(ID, signal);
      await expectFailure(pool.free(ID, signal), Busy, 'to free what is open');
      await expectFailure(
        pool.wipe(ID, { offset: 0n, length: EXTENT }, signal),
        Busy,
        'to wipe what is open',
      );
      await release();
      assert.is(await pool.wipe(ID, { offset: 0n, length: 2n * EXTENT }, signal), true);
      assert.is(await readAt(rig, `${ID}.dying`, 7), '');
      await expectFailure(
        pool.wipe(ID, { offset: 2n * EXTENT, length: EXTENT }, signal),
        Mismatch,
        'to wipe behind its end',
      );
      await pool.free(ID, signal);
      await pool.free(ID, signal);
      await namesAre(rig, []);
      const { freeBytes, totalBytes } = await pool.observe(signal);
      assert.is(freeBytes, totalBytes);
    },
  },
  {
    name: 'the role: a retained volume is nobody’s until it is adopted, and has its data then',
    run: async (rig) => {
      const pool = poolOf(rig);
      await pool.prepare(signal);
      await make(pool, ID, EXTENT);
      await rig.write(ID, { mebibyte: 1 }, 'kept');
      await pool.retain(ID, signal);
      await pool.retain(ID, signal);
      await expectFailure(pool.retire(ID, signal), NotDone, 'to retire it');
      await expectFailure(pool.free(ID, signal), NotDone, 'to free it');
      await expectFailure(pool.create(ID, EXTENT, owner, signal), Busy, 'to make one in its place');
      const heir = { ...owner, namespace: 'team-b' };
      await pool.adopt(OTHER, ID, heir, signal);
      await pool.adopt(OTHER, ID, heir, signal);
      await pool.complete(OTHER, EXTENT, signal);
      assert.is(await readAt(rig, OTHER, 1), 'kept');
      const [backing] = (await pool.observe(signal)).backings;
      assert.equal(backing?.owner, { namespace: 'team-b', name: 'db.main' });
      await expectFailure(
        pool.adopt(ID, OTHER, heir, signal),
        BackingNotFound,
        'to adopt what is not retained',
      );
      await pool.retain(OTHER, signal);
      await pool.retireRetained(OTHER, () => false, signal);
      await namesAre(rig, [`${OTHER}.retained`]);
      await pool.retireRetained(OTHER, () => true, signal);
      await pool.free(OTHER, signal);
      await namesAre(rig, []);
    },
  },
  {
    name: 'the role: what a command that was killed left, inactive, is resumed',
    run: async (rig) => {
      const pool = poolOf(rig);
      await pool.prepare(signal);
      await pool.create(ID, EXTENT, owner, signal);
      await rig.deactivate(`${ID}.new`);
      await make(pool, ID, 2n * EXTENT);
      assert.equal(await rig.words(ID), Array(8).fill(''));
    },
  },
];

/** As the procedure of a volume does it. */
const make = async (pool: Pool, id: string, sizeBytes: bigint): Promise<void> => {
  await pool.create(id, sizeBytes, owner, signal);
  const backing = (await pool.observe(signal)).backings.find((one) => one.id === id);
  if (pool.can.zeroes && backing?.state === 'provisional') {
    for (let done = 0n; done < backing.sizeBytes; done += EXTENT) {
      await pool.zero(id, nextRange(done, backing.sizeBytes, EXTENT), signal);
    }
  }
  await pool.complete(id, sizeBytes, signal);
};

const thick: readonly Check<PoolRig>[] = [
  {
    name: 'a new volume holds what others left, but where it was zeroed',
    run: async (rig) => {
      await rig.soil();
      await ok(rig, createCall(ID, EXTENT));
      assert.equal((await rig.words(`${ID}.new`)).slice(1), ['old', 'old', 'old']);
      await ok(rig, onDevice(rig, ['zero', `${ID}.new`], { offset: MIB, length: 2n * MIB }));
      assert.equal((await rig.words(`${ID}.new`)).slice(1), ['', '', 'old']);
      await ok(rig, onDevice(rig, ['wipe', `${ID}.new`], { offset: 0n, length: EXTENT }));
      assert.equal(await rig.words(`${ID}.new`), ['', '', '', '']);
    },
  },
  {
    name: 'zeroing: not of what is open or not there, up to the end and not beyond it',
    run: async (rig) => {
      const { profile } = rig;
      const on = (offset: bigint, length: bigint, name = `${ID}.new`): Call =>
        onDevice(rig, ['zero', name], { offset, length });
      await expectOutcome(profile, on(0n, MIB), 'absent');
      await ok(rig, createCall(ID, EXTENT));
      await rig.write(`${ID}.new`, { mebibyte: 3 }, 'there');
      const release = await rig.hold(`${ID}.new`);
      await expectOutcome(profile, on(0n, EXTENT), 'busy');
      await release();
      await expectOutcome(profile, on(2n * EXTENT, MIB), 'failed');
      assert.is(await readAt(rig, `${ID}.new`, 3), 'there');
      await expectOutcome(profile, on(100n, MIB), 'failed');
      // Cut off at the end, without a word.
      await ok(rig, on(3n * MIB, EXTENT));
      assert.is(await readAt(rig, `${ID}.new`, 3), '');
    },
  },
  {
    name: 'a volume group that is full makes nothing and grows nothing',
    run: async (rig) => {
      const { profile } = rig;
      await expectOutcome(profile, createCall(ID, BigInt(EXTENTS + 1) * EXTENT), 'full');
      await rig.makeOthers('theirs', EXTENTS - 2);
      await expectOutcome(profile, createCall(ID, 3n * EXTENT), 'full');
      await namesAre(rig, ['theirs']);
      await ok(rig, createCall(ID, EXTENT));
      await expectOutcome(profile, sized('resume', ID, 3n * EXTENT), 'full');
      await ok(rig, ofID('complete'));
      await expectOutcome(profile, snapshotCall(SNAP, ID, 8n * EXTENT), 'full');
      await expectOutcome(profile, sized('grow', ID, 3n * EXTENT), 'full');
      const { size, state, clean } = await rowOf(rig);
      assert.equal([size, state, clean], [String(EXTENT), 'growing', String(EXTENT)]);
      assert.is((await rowsOf(rig, 'pool'))[0]?.free, String(EXTENT));
    },
  },
  {
    name: 'to grow: another name first, then its size, both also when begun before',
    run: async (rig) => {
      const { profile } = rig;
      await expectOutcome(profile, sized('grow', ID, 2n * EXTENT), 'absent');
      await ok(rig, createCall(ID, EXTENT), ofID('complete'));
      await ok(rig, sized('grow', ID, 2n * EXTENT), sized('grow', ID, 2n * EXTENT));
      assert.equal(await rowOf(rig), {
        ...{ kind: 'volume', id: ID, state: 'growing', clean: String(EXTENT), size: String(2n * EXTENT) },
        ...{ path: pathIn(rig, `${ID}.grow${EXTENT}`), ...OWNER_ROW },
      });
      await expectOutcome(profile, sized('grow', ID, EXTENT), 'failed');
      const clean = { 'backing.id': ID, clean: EXTENT };
      await ok(rig, ['grown', clean]);
      await expectOutcome(profile, ['grown', clean], 'absent');
      await ok(rig, sized('grow', ID, 3n * EXTENT), ['retireGrowing', clean], ofID('free'));
      await expectOutcome(profile, ['retireGrowing', clean], 'absent');
      await namesAre(rig, []);
    },
  },
  {
    name: 'a snapshot: as large as its volume, with a store that is cut down to what is of use',
    run: async (rig) => {
      const { profile } = rig;
      await expectOutcome(profile, snapshotCall(SNAP, ID, EXTENT), 'absent');
      await ok(rig, createCall(ID, 2n * EXTENT), ofID('complete'));
      await ok(rig, snapshotCall(SNAP, ID, 20n * EXTENT));
      const expected = {
        ...{ kind: 'volume', id: SNAP, state: 'provisional', size: String(2n * EXTENT), source: ID },
        ...{ allocated: String(3n * EXTENT), path: pathIn(rig, `${SNAP}.new`), ...OWNER_ROW },
      };
      assert.equal(await rowOf(rig, SNAP), expected);
      await expectOutcome(profile, snapshotCall(SNAP, ID, 20n * EXTENT), 'exists');
      await ok(rig, ofID('complete', SNAP));
      assert.equal(await rowOf(rig, SNAP), { ...expected, state: 'complete', path: pathIn(rig, SNAP) });
      await expectOutcome(profile, snapshotCall(snapshotID(9), SNAP, EXTENT), 'failed');
      await namesAre(rig, [ID, SNAP]);
    },
  },
  {
    name: 'a snapshot of what is open keeps what was there, while its volume goes on',
    run: async (rig) => {
      await ok(rig, createCall(ID, EXTENT), ofID('complete'));
      await rig.write(ID, { mebibyte: 0 }, 'before');
      const release = await rig.hold(ID);
      await ok(rig, snapshotCall(SNAP, ID, 4n * EXTENT));
      await release();
      await rig.write(ID, { mebibyte: 0 }, 'after');
      assert.is(await readAt(rig, `${SNAP}.new`, 0), 'before');
      assert.is(await readAt(rig, ID, 0), 'after');
      assert.is((await rowOf(rig, SNAP)).fault, undefined);
    },
  },
  {
    name: 'a volume with a snapshot neither grows nor goes, whatever its name; the snapshot goes first',
    run: async (rig) => {
      const { profile } = rig;
      await ok(rig, createCall(ID, EXTENT), ofID('complete'), snapshotCall(SNAP, ID, 4n * EXTENT));
      await expectOutcome(profile, sized('grow', ID, 2n * EXTENT), 'busy');
      assert.is((await rowOf(rig, SNAP)).source, ID, 'its volume has another name now');
      await ok(rig, ['retireGrowing', { 'backing.id': ID, clean: EXTENT }]);
      await expectOutcome(profile, ofID('free'), 'busy');
      await namesAre(rig, [`${ID}.dying`, `${SNAP}.new`]);
      await ok(rig, ofID('retireProvisional', SNAP), ofID('free', SNAP), ofID('free'));
      await namesAre(rig, []);
    },
  },
  {
    name: 'a snapshot whose store is too small overflows, says so, and goes like any other',
    run: async (rig) => {
      await ok(rig, createCall(ID, 2n * EXTENT), ofID('complete'), snapshotCall(SNAP, ID, 4n * EXTENT));
      await ok(rig, ofID('complete', SNAP));
      await rig.reduce(SNAP, 1);
      for (let at = 0; at < 2 * PER_EXTENT; at += 1) {
        await rig.write(ID, { mebibyte: at }, `w${at}`);
      }
      assert.match((await rowOf(rig, SNAP)).fault ?? 'no fault', /overflowed/);
      await ok(rig, ofID('retire', SNAP), ofID('free', SNAP));
      assert.is(await readAt(rig, ID, 7), 'w7');
    },
  },
  {
    name: 'the role: snapshots go with their volume, do not overflow, and hold its size',
    run: async (rig) => {
      const pool = poolOf(rig);
      await pool.prepare(signal);
      await make(pool, ID, EXTENT);
      await rig.write(ID, { mebibyte: 2 }, 'before');
      await pool.snapshot(SNAP, ID, owner, signal);
      await pool.snapshot(SNAP, ID, owner, signal);
      await pool.complete(SNAP, EXTENT, signal);
      await rig.write(ID, { mebibyte: 2 }, 'after');
      assert.is(await readAt(rig, SNAP, 2), 'before');
      const backing = (await pool.observe(signal)).backings.find(({ id }) => id === SNAP);
      assert.equal([backing?.sizeBytes, backing?.sourceID, backing?.fault], [EXTENT, ID, undefined]);
      await expectFailure(pool.grow(ID, 2n * EXTENT, signal), Busy, 'to grow under a snapshot');
      await expectFailure(pool.retire(ID, signal), Busy, 'to retire under a snapshot');
      await pool.retire(SNAP, signal);
      assert.is(await pool.wipe(SNAP, { offset: 0n, length: EXTENT }, signal), false);
      await pool.retire(ID, signal);
      await expectFailure(pool.free(ID, signal), Busy, 'to free under a snapshot');
      await pool.free(SNAP, signal);
      await pool.free(ID, signal);
      await namesAre(rig, []);
    },
  },
  {
    name: 'the role: what grows is zeroed behind its data, and is not full of others’ bytes',
    run: async (rig) => {
      const pool = poolOf(rig);
      await rig.soil();
      await pool.prepare(signal);
      await make(pool, ID, EXTENT);
      await rig.write(ID, { mebibyte: 3 }, 'mine');
      await pool.grow(ID, 2n * EXTENT, signal);
      await expectFailure(pool.snapshot(SNAP, ID, owner, signal), Busy, 'a snapshot of what grows');
      await expectFailure(pool.zero(ID, { offset: 0n, length: MIB }, signal), Mismatch, 'to zero its data');
      await pool.zero(ID, { offset: EXTENT, length: EXTENT }, signal);
      await pool.grown(ID, signal);
      await pool.grown(ID, signal);
      assert.equal(await rig.words(ID), ['', '', '', 'mine', '', '', '', '']);
      await expectFailure(pool.grow(ID, 64n * EXTENT, signal), NoSpace, 'to grow beyond all there is');
      assert.is((await pool.observe(signal)).backings[0]?.state, 'complete');
    },
  },
  {
    name: 'the role: full is full, and leaves nothing',
    run: async (rig) => {
      const pool = poolOf(rig);
      await pool.prepare(signal);
      await rig.makeOthers('theirs', EXTENTS - 1);
      await expectFailure(pool.create(ID, 2n * EXTENT, owner, signal), NoSpace, 'to create');
      await make(pool, ID, EXTENT);
      await expectFailure(pool.snapshot(SNAP, ID, owner, signal), NoSpace, 'a snapshot');
      await expectFailure(pool.grow(ID, 2n * EXTENT, signal), NoSpace, 'to grow');
      await namesAre(rig, ['theirs', ID]);
    },
  },
];

const thin: readonly Check<PoolRig>[] = [
  {
    name: 'a new volume takes nothing and reads as zeroes, though others’ bytes are on the disks',
    run: async (rig) => {
      await rig.soil();
      await ok(rig, createCall(ID, EXTENT));
      assert.equal(await rig.words(`${ID}.new`), ['', '', '', '']);
      assert.is((await rowOf(rig)).allocatedPercent, '0.00');
      await rig.write(`${ID}.new`, { mebibyte: 2 }, 'mine');
      assert.equal(await rig.words(`${ID}.new`), ['', '', 'mine', '']);
      assert.ok(Number((await rowOf(rig)).allocatedPercent) > 0);
      assert.ok(Number((await rowsOf(rig, 'pool'))[0]?.usedPercent) > 0);
    },
  },
  {
    name: 'more may be promised than there is',
    run: async (rig) => {
      await ok(rig, createCall(ID, 1024n * EXTENT));
      assert.is((await rowOf(rig)).size, String(1024n * EXTENT));
    },
  },
  {
    name: 'a thin pool that is full to the last block makes volumes and snapshots all the same, but the role does not',
    run: async (rig) => {
      const pool = poolOf(rig);
      await pool.prepare(signal);
      await ok(rig, createCall(ID, EXTENT), ofID('complete'));
      const extents = EXTENTS / 2;
      await rig.makeOthers('theirs', extents);
      await rig.write('theirs', { mebibyte: 0, count: extents * PER_EXTENT }, 'theirs');
      assert.is((await rowsOf(rig, 'pool'))[0]?.usedPercent, '100.00');
      await ok(rig, createCall(OTHER, EXTENT), snapshotCall(SNAP, ID, EXTENT));
      await namesAre(rig, ['theirs', ID, `${OTHER}.new`, `${SNAP}.new`]);
      await ok(rig, ofID('retireProvisional', OTHER), ofID('free', OTHER));
      await expectFailure(pool.create(OTHER, EXTENT, owner, signal), NoSpace, 'to create');
      await namesAre(rig, ['theirs', ID, `${SNAP}.new`]);
    },
  },
  {
    name: 'wiping gives blocks back; not of what is open or not there, up to the end and not beyond it',
    run: async (rig) => {
      const { profile } = rig;
      const on = (offset: bigint, length: bigint): Call =>
        onDevice(rig, ['wipe', `${ID}.new`], { offset, length });
      await expectOutcome(profile, on(0n, MIB), 'absent');
      await ok(rig, createCall(ID, EXTENT));
      await rig.write(`${ID}.new`, { mebibyte: 0 }, 'first');
      await rig.write(`${ID}.new`, { mebibyte: 3 }, 'last');
      const release = await rig.hold(`${ID}.new`);
      await expectOutcome(profile, on(0n, EXTENT), 'busy');
      await release();
      await expectOutcome(profile, on(2n * EXTENT, MIB), 'failed');
      await ok(rig, on(0n, MIB));
      assert.equal(await rig.words(`${ID}.new`), ['', '', '', 'last']);
      await ok(rig, on(3n * MIB, EXTENT));
      assert.is(await readAt(rig, `${ID}.new`, 3), '');
      assert.is((await rowOf(rig)).allocatedPercent, '0.00');
    },
  },
  {
    name: 'it grows while it is open and has snapshots, and never shrinks',
    run: async (rig) => {
      const { profile } = rig;
      await expectOutcome(profile, sized('grow', ID, EXTENT), 'absent');
      await ok(rig, createCall(ID, EXTENT), ofID('complete'), snapshotCall(SNAP, ID, EXTENT));
      const release = await rig.hold(ID);
      await ok(rig, sized('grow', ID, 2n * EXTENT), sized('grow', ID, 2n * EXTENT));
      await release();
      await expectOutcome(profile, sized('grow', ID, EXTENT), 'failed');
      const { size, state } = await rowOf(rig);
      assert.equal([size, state], [String(2n * EXTENT), 'complete']);
      assert.is((await rowOf(rig, SNAP)).size, String(EXTENT));
    },
  },
  {
    name: 'a snapshot is a volume of its own: active, of the same words, and stays when its source goes',
    run: async (rig) => {
      const { profile } = rig;
      await expectOutcome(profile, snapshotCall(SNAP, ID, EXTENT), 'absent');
      await ok(rig, createCall(ID, EXTENT), ofID('complete'));
      await rig.write(ID, { mebibyte: 1 }, 'before');
      const release = await rig.hold(ID);
      await ok(rig, snapshotCall(SNAP, ID, EXTENT));
      await release();
      await expectOutcome(profile, snapshotCall(SNAP, ID, EXTENT), 'exists');
      const { allocatedPercent, ...row } = await rowOf(rig, SNAP);
      assert.equal(row, {
        ...{ kind: 'volume', id: SNAP, state: 'provisional', size: String(EXTENT) },
        ...{ path: pathIn(rig, `${SNAP}.new`), ...OWNER_ROW },
      });
      assert.is(allocatedPercent, (await rowOf(rig)).allocatedPercent, 'shared blocks count with each');
      await rig.write(ID, { mebibyte: 1 }, 'after');
      assert.is(await readAt(rig, `${SNAP}.new`, 1), 'before');
      await ok(rig, ofID('retire'), ofID('free'));
      assert.is(await readAt(rig, `${SNAP}.new`, 1), 'before');
      await ok(rig, ofID('complete', SNAP), snapshotCall(snapshotID(9), SNAP, EXTENT));
      assert.is(await readAt(rig, `${snapshotID(9)}.new`, 1), 'before', 'of a snapshot as well');
    },
  },
  {
    name: 'the role: copies outlive their source, and wiping one leaves the other',
    run: async (rig) => {
      const pool = poolOf(rig);
      await pool.prepare(signal);
      await make(pool, ID, EXTENT);
      await rig.write(ID, { mebibyte: 0 }, 'shared');
      await pool.snapshot(SNAP, ID, owner, signal);
      await pool.snapshot(SNAP, ID, owner, signal);
      await pool.complete(SNAP, EXTENT, signal);
      await pool.retire(ID, signal);
      assert.is(await pool.wipe(ID, { offset: 0n, length: EXTENT }, signal), true);
      await pool.free(ID, signal);
      assert.is(await readAt(rig, SNAP, 0), 'shared');
      await pool.retain(SNAP, signal);
      await pool.adopt(OTHER, SNAP, owner, signal);
      await pool.complete(OTHER, EXTENT, signal);
      await pool.grow(OTHER, 2n * EXTENT, signal);
      assert.equal(await rig.words(OTHER), ['shared', '', '', '', '', '', '', '']);
    },
  },
  {
    name: 'the role: what was promised to others is not promised again',
    run: async (rig) => {
      const pool = poolOf(rig);
      await pool.prepare(signal);
      await make(pool, ID, BigInt(EXTENTS / 2 - 1) * EXTENT);
      await expectFailure(pool.create(OTHER, 2n * EXTENT, owner, signal), NoSpace, 'to create');
      await make(pool, OTHER, EXTENT);
      await rig.write(OTHER, { mebibyte: 0 }, 'shared from then on');
      await expectFailure(pool.snapshot(SNAP, OTHER, owner, signal), NoSpace, 'a snapshot');
      await expectFailure(pool.grow(OTHER, 2n * EXTENT, signal), NoSpace, 'to grow');
      await namesAre(rig, [ID, OTHER]);
    },
  },
];

export const thickChecks: readonly Check<PoolRig>[] = [...inBoth, ...thick];
export const thinChecks: readonly Check<PoolRig>[] = [...inBoth, ...thin];
