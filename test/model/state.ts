// The state of the model: the API objects, every actor's own (perhaps old) copy of them, the disks of the hosts and the
// outside world. Values stand in it as tokens, so that a state is small and has one spelling.
import type { Attachment } from '../../api/attachment.ts';
import type { Snapshot, Volume } from '../../api/volume.ts';
import type { ConnectionMemory } from '../../node-agent/connection/memory.ts';
import type { ServerMemory } from '../../node-agent/volume/memory.ts';

export type BackingName = '' | 'provisional' | 'complete' | 'dying' | 'retained';

/** `initiator#epoch` of each entry: the epoch stands for the CHAP credentials, which differ from grant to grant. */
export interface TargetState {
  readonly readyFor: 'rw';
  readonly allowed: readonly string[];
  readonly sessions: readonly string[];
}

export interface VmState {
  readonly running: boolean;
  /** Index of the Attachment whose disk it holds, and the epoch it logged in with. */
  readonly disk?: { readonly attachment: 0 | 1; readonly epoch: number };
  readonly detaching?: boolean;
  /** QEMU stands still and closes this disk of which no description tells any more, until the target lets it in again. */
  readonly closing?: { readonly attachment: 0 | 1; readonly epoch: number };
}

/** A token that stands for a JSON value, see {@link spell}. */
export type Json = string;
/** '=' : the same as the object at the API server now. */
export type View = '=' | Json;

export interface State {
  /** '' : no such object. */
  readonly volume: Json;
  readonly attachments: readonly [Json, Json];
  readonly controller: readonly [View, View, View];
  readonly server: readonly [View, View, View];
  readonly hosts: readonly [readonly [View, View], readonly [View, View]];
  /** A write of a controller that was deposed while it was under way: what it had read, and what it writes. */
  readonly ghost: Json;
  /** '' : no such object. Beside it, what controller and server have seen of it. */
  readonly snapshot: Json;
  readonly snapshotViews: readonly [View, View];
  readonly snapshotMemory: Json;
  readonly snapshotBacking: BackingName;
  /** How much of the volume is in the snapshot's backing, and whether somebody wrote to the volume meanwhile. */
  readonly copied: 'nothing' | 'half' | 'all' | 'torn';
  readonly serverMemory: Json;
  readonly serverPending: Json;
  readonly backing: BackingName;
  /** The user's bytes are in the backing. */
  readonly data: boolean;
  readonly everWritten: boolean;
  readonly target: Json;
  readonly hostMemory: readonly [readonly [Json, Json], readonly [Json, Json]];
  readonly hostPending: readonly [Json, Json];
  readonly vms: readonly [Json, Json];
  /** The agent of the hypervisor acts. */
  readonly awake: readonly [boolean, boolean];
  /** What the controller thinks of its Lease. */
  readonly stale: readonly [boolean, boolean];
  readonly fenced: readonly [boolean, boolean];
  readonly serverBoot: number;
  readonly hostBoot: readonly [number, number];
  /** What users and faults may still do. */
  readonly todo: Readonly<Record<string, number>>;
}

const tokens = new Map<string, Json>();
const values = new Map<Json, unknown>();

/** The value behind a token; '' is undefined. Values are shared: never change them. */
export const read = <T>(token: Json): T | undefined => values.get(token) as T | undefined;

const sorted = (value: unknown): unknown => {
  if (typeof value === 'bigint') {
    return value.toString();
  }
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [key, sorted(item)]),
    );
  }
  return value;
};

/** One token for one value, however its keys were ordered; undefined is ''. */
export function spell(value: unknown): Json {
  if (value === undefined) {
    return '';
  }
  const canonical = sorted(value);
  const text = JSON.stringify(canonical);
  let token = tokens.get(text);
  if (token === undefined) {
    token = String(tokens.size);
    tokens.set(text, token);
    values.set(token, canonical);
  }
  return token;
}

/** Two states are the same exactly when their keys are. */
export function keyOf(s: State): string {
  const [a0, a1] = s.attachments;
  const [cv, c0, c1] = s.controller;
  const [sv, s0, s1] = s.server;
  const [[h00, h01], [h10, h11]] = s.hosts;
  const [[m00, m01], [m10, m11]] = s.hostMemory;
  const api = `${s.volume};${a0};${a1};${s.fenced[0]};${s.fenced[1]};${s.ghost}`;
  const views = `${cv};${c0};${c1};${sv};${s0};${s1};${h00};${h01};${h10};${h11};${s.stale[0]};${s.stale[1]}`;
  const server = `${s.serverMemory};${s.serverPending};${s.backing};${s.data};${s.everWritten};${s.target};${s.serverBoot}`;
  const hosts = `${m00};${m01};${m10};${m11};${s.hostPending[0]};${s.hostPending[1]};${s.vms[0]};${s.vms[1]}`;
  const [cn, sn] = s.snapshotViews;
  const copy = `${s.snapshot};${cn};${sn};${s.snapshotMemory};${s.snapshotBacking};${s.copied}`;
  let rest = `${s.awake[0]};${s.awake[1]};${s.hostBoot[0]};${s.hostBoot[1]}`;
  for (const what in s.todo) {
    rest += `;${s.todo[what]}`;
  }
  return `${api}|${views}|${server}|${hosts}|${copy}|${rest}`;
}

export const volumeAt = (state: State, view: View = '='): Volume | undefined =>
  read<Volume>(view === '=' ? state.volume : view);
export const snapshotAt = (state: State, view: View = '='): Snapshot | undefined =>
  read<Snapshot>(view === '=' ? state.snapshot : view);
export const attachmentAt = (state: State, index: 0 | 1, view: View = '='): Attachment | undefined =>
  read<Attachment>(view === '=' ? state.attachments[index] : view);
export const targetOf = (state: State): TargetState | undefined => read<TargetState>(state.target);
export const vmOf = (state: State, host: 0 | 1): VmState =>
  read<VmState>(state.vms[host]) ?? { running: false };
export const serverMemoryOf = (state: State): ServerMemory | undefined =>
  read<ServerMemory>(state.serverMemory);
export const hostMemoryOf = (state: State, host: 0 | 1, index: 0 | 1): ConnectionMemory | undefined =>
  read<ConnectionMemory>(state.hostMemory[host][index]);

export const replaced = <T>(pair: readonly [T, T], index: 0 | 1, value: T): readonly [T, T] =>
  index === 0 ? [value, pair[1]] : [pair[0], value];

/** Everybody who had seen the object as it was now holds an old copy, but for the writer. */
const aged = (view: View, before: Json): View => (view === '=' ? before : view);
const renewed = (view: View, now: Json): View => (view === now ? '=' : view);

export type Writer = 'controller' | 'server' | 'host0' | 'host1' | 'user';

export function writeVolume(state: State, writer: Writer, now: Json): State {
  const before = state.volume;
  if (before === now) {
    return state;
  }
  const view = (own: boolean, old: View): View => (own ? '=' : renewed(aged(old, before), now));
  return {
    ...state,
    volume: now,
    controller: [
      view(writer === 'controller', state.controller[0]),
      state.controller[1],
      state.controller[2],
    ],
    server: [view(writer === 'server', state.server[0]), state.server[1], state.server[2]],
  };
}

export function writeSnapshot(state: State, writer: Writer, now: Json): State {
  const before = state.snapshot;
  if (before === now) {
    return state;
  }
  const view = (own: boolean, old: View): View => (own ? '=' : renewed(aged(old, before), now));
  const [controller, server] = state.snapshotViews;
  return {
    ...state,
    snapshot: now,
    snapshotViews: [view(writer === 'controller', controller), view(writer === 'server', server)],
  };
}

export function writeAttachment(state: State, writer: Writer, index: 0 | 1, now: Json): State {
  const before = state.attachments[index];
  if (before === now) {
    return state;
  }
  const view = (own: boolean, old: View): View => (own ? '=' : renewed(aged(old, before), now));
  const three = (own: boolean, views: readonly [View, View, View]): readonly [View, View, View] =>
    index === 0 ? [views[0], view(own, views[1]), views[2]] : [views[0], views[1], view(own, views[2])];
  return {
    ...state,
    attachments: replaced(state.attachments, index, now),
    controller: three(writer === 'controller', state.controller),
    server: three(writer === 'server', state.server),
    hosts: [
      replaced(state.hosts[0], index, view(writer === 'host0', state.hosts[0][index])),
      replaced(state.hosts[1], index, view(writer === 'host1', state.hosts[1][index])),
    ],
  };
}
