/** The pool role over a profile: look, decide, change, look again. The same for files and logical volumes. */

import { randomUUID } from 'node:crypto';
import { roundUp } from '../../api/quantity.ts';
import { createLocks } from '../exec/locks.ts';
import type { BoundProfile, CallResult } from '../profiles/bind.ts';
import { find, identify, observe, type PoolOptions, type PoolWorld } from './backings.ts';
import { BackingNotFound, Busy, Denied, Mismatch, NoSpace, NotDone, NotOurs, PoolMissing } from './errors.ts';
import type { Owner, Pool } from './pool.ts';

const DEFAULT_EXTENT_BYTES = 1024n * 1024n;
const refuseFull = async (world: PoolWorld, moreBytes: bigint, signal: AbortSignal): Promise<void> => {
  const { freeBytes } = await observe(world, signal);
  if (moreBytes > freeBytes) {
    throw new NoSpace(world.options.name, moreBytes, freeBytes);
  }
};

/** Translates what a change said, once the look after it did not show the change. */
const explain = (subject: string, wanted: string, { outcome, said }: CallResult): Error => {
  if (outcome === 'busy') {
    return new Busy(subject, said);
  }
  return outcome === 'denied' ? new Denied(subject, said) : new NotDone(subject, wanted, said);
};

const makeRoom = async (world: PoolWorld, volumeID: string, signal: AbortSignal): Promise<void> => {
  await world.profile.call('retireProvisional', { 'volume.id': volumeID }, signal);
  await world.profile.call('free', { 'volume.id': volumeID }, signal);
};

const create = async (
  world: PoolWorld,
  wanted: { volumeID: string; sizeBytes: bigint; owner: Owner },
  signal: AbortSignal,
): Promise<void> => {
  const { volumeID, owner } = wanted;
  const size = roundUp(wanted.sizeBytes, world.extentBytes);
  const before = await find(world, volumeID, signal);
  if (before?.state === 'complete') {
    return;
  }
  if (before?.state === 'dying') {
    throw new Busy(volumeID, 'its last backing is still being removed');
  }
  if (before !== undefined && before.sizeBytes > size) {
    throw new Mismatch(volumeID, `${size} bytes`, `${before.sizeBytes} bytes`);
  }
  await refuseFull(world, before === undefined ? size : size - before.sizeBytes, signal);
  const tags = {
    'owner.cluster': owner.clusterID,
    'owner.namespace': owner.namespace,
    'owner.name': owner.name,
  };
  const result = await world.profile.call('create', { 'volume.id': volumeID, size, ...tags }, signal);
  if (result.outcome === 'full') {
    await makeRoom(world, volumeID, signal);
    throw new NoSpace(world.options.name, size);
  }
  const after = await find(world, volumeID, signal);
  if (result.outcome !== 'ok' || after?.state !== 'provisional' || after.sizeBytes < size) {
    throw explain(volumeID, 'create', result);
  }
};

const complete = async (
  world: PoolWorld,
  volumeID: string,
  sizeBytes: bigint,
  signal: AbortSignal,
): Promise<void> => {
  const before = await find(world, volumeID, signal);
  if (before === undefined || before.state === 'dying') {
    throw new BackingNotFound(volumeID, world.options.name, 'provisional');
  }
  if (before.sizeBytes < sizeBytes) {
    throw new Mismatch(volumeID, `${sizeBytes} bytes`, `${before.sizeBytes} bytes`);
  }
  if (before.state === 'complete') {
    return;
  }
  const result = await world.profile.call('complete', { 'volume.id': volumeID }, signal);
  const after = await find(world, volumeID, signal);
  if (result.outcome !== 'ok' || after?.state !== 'complete') {
    throw explain(volumeID, 'complete', result);
  }
};

const retire = async (world: PoolWorld, volumeID: string, signal: AbortSignal): Promise<void> => {
  const before = await find(world, volumeID, signal);
  if (before === undefined || before.state === 'dying') {
    return;
  }
  const verb = before.state === 'complete' ? 'retire' : 'retireProvisional';
  const result = await world.profile.call(verb, { 'volume.id': volumeID }, signal);
  const after = await find(world, volumeID, signal);
  if (result.outcome !== 'ok' || after?.state !== 'dying') {
    throw explain(volumeID, 'retire', result);
  }
};

const free = async (world: PoolWorld, volumeID: string, signal: AbortSignal): Promise<void> => {
  const before = await find(world, volumeID, signal);
  if (before !== undefined && before.state !== 'dying') {
    throw new NotDone(volumeID, 'free', `it is ${before.state}: retire it first`);
  }
  const result = await world.profile.call('free', { 'volume.id': volumeID }, signal);
  const after = await find(world, volumeID, signal);
  if (after !== undefined || (result.outcome !== 'ok' && result.outcome !== 'absent')) {
    throw explain(volumeID, 'free', result);
  }
};

const grow = async (
  world: PoolWorld,
  volumeID: string,
  sizeBytes: bigint,
  signal: AbortSignal,
): Promise<void> => {
  const size = roundUp(sizeBytes, world.extentBytes);
  const before = await find(world, volumeID, signal);
  if (before?.state !== 'complete') {
    throw new BackingNotFound(volumeID, world.options.name, 'complete');
  }
  if (before.sizeBytes >= size) {
    return;
  }
  await refuseFull(world, size - before.sizeBytes, signal);
  const result = await world.profile.call('grow', { 'volume.id': volumeID, size }, signal);
  if (result.outcome === 'full') {
    throw new NoSpace(world.options.name, size - before.sizeBytes);
  }
  const after = await find(world, volumeID, signal);
  if (result.outcome !== 'ok' || after === undefined || after.sizeBytes < size) {
    throw explain(volumeID, 'grow', result);
  }
};

const prepare = async (world: PoolWorld, signal: AbortSignal): Promise<string> => {
  const { name } = world.options;
  const identity = world.options.identity?.() ?? randomUUID();
  const { outcome } = await world.profile.call('identity', {}, signal);
  if (outcome === 'absent') {
    const contents = await world.profile.call('contents', {}, signal);
    if (contents.outcome === 'absent') {
      throw new PoolMissing(name, 'its place does not exist');
    }
    if (contents.rows.length > 0) {
      throw new NotOurs(
        `the place of pool ${name}`,
        `holds ${contents.rows[0]?.name ?? 'something'} and is no pool`,
      );
    }
    await world.profile.call('prepare', { 'pool.identity': identity }, signal);
  }
  return identify(world, signal);
};

export const profiledPool = (profile: BoundProfile, options: PoolOptions): Pool => {
  const world: PoolWorld = { profile, options, extentBytes: options.extentBytes ?? DEFAULT_EXTENT_BYTES };
  const turns = createLocks();
  const inTurn = <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
    turns.hold(options.name, signal, work);
  return {
    name: options.name,
    can: { growOnline: profile.can.growOnline === true },
    prepare: (signal) => inTurn(signal, () => prepare(world, signal)),
    // In turn as well: a volume whose owner's file goes in the middle of a look would be shown as foreign.
    observe: (signal) => inTurn(signal, () => observe(world, signal)),
    create: (volumeID, sizeBytes, owner, signal) =>
      inTurn(signal, () => create(world, { volumeID, sizeBytes, owner }, signal)),
    complete: (volumeID, sizeBytes, signal) =>
      inTurn(signal, () => complete(world, volumeID, sizeBytes, signal)),
    retire: (volumeID, signal) => inTurn(signal, () => retire(world, volumeID, signal)),
    free: (volumeID, signal) => inTurn(signal, () => free(world, volumeID, signal)),
    grow: (volumeID, sizeBytes, signal) => inTurn(signal, () => grow(world, volumeID, sizeBytes, signal)),
  };
};
