// What the volume server may do next. A visit looks and decides at one moment and acts at a later one, so that
// anything may happen between; a crash loses the decision and nothing else.
import { type Backend, hasFinalizer, pinsOf, type Snapshot, type Volume } from '../../api/volume.ts';
import type { ExportStep } from '../../node-agent/export/plan.ts';
import type { Backing } from '../../node-agent/roles/pool.ts';
import type { Export } from '../../node-agent/roles/target.ts';
import { emptyServerMemory, type ServerMemory } from '../../node-agent/volume/memory.ts';
import type { BackingStep } from '../../node-agent/volume/plan.ts';
import type { Move } from './moves.ts';
import type { Rules } from './rules.ts';
import {
  attachmentAt,
  read,
  type State,
  serverMemoryOf,
  snapshotAt,
  spell,
  type TargetState,
  targetOf,
  volumeAt,
  writeAttachment,
  writeSnapshot,
  writeVolume,
} from './state.ts';

type Pending =
  | { readonly of: 'backing'; readonly step: BackingStep }
  | { readonly of: 'export'; readonly step: ExportStep; readonly basis?: string }
  | { readonly of: 'fact'; readonly fact: Backend; readonly basis: string }
  | { readonly of: 'snapshot'; readonly step: BackingStep }
  | { readonly of: 'snapshot fact'; readonly fact: Backend; readonly basis: string }
  | { readonly of: 'copy' };

const nameOf = (entry: string): string => entry.split('#')[0] ?? '';

function observedTarget(state: State): Export | undefined {
  const target = targetOf(state);
  return target === undefined
    ? undefined
    : {
        volumeID: 'v',
        iqn: 'iqn',
        lun: 1,
        ready: true,
        readOnly: false,
        serial: 'v',
        allowed: target.allowed.map(nameOf),
        chapUsers: [],
        sessions: target.sessions.map(nameOf),
      };
}

const observedBacking = ({ backing }: State): Backing | undefined =>
  backing === '' ? undefined : { id: 'v', state: backing, sizeBytes: 100n, path: '/v' };

function visibleAttachments(state: State) {
  return ([0, 1] as const)
    .flatMap((index) => attachmentAt(state, index, state.server[index === 0 ? 1 : 2]) ?? [])
    .filter((attachment) => attachment.status?.server === 's0' && hasFinalizer(attachment));
}

/** Only volumes of this server, as the field selector has it. */
const visibleVolume = (state: State) => {
  const volume = volumeAt(state, state.server[0]);
  return volume?.status?.server === 's0' ? volume : undefined;
};

export function serverMoves(state: State, rules: Rules): Move[] {
  const moves: Move[] = [];
  if (state.serverPending !== '') {
    moves.push(execute(state));
  } else {
    moves.push(...decisions(state, rules));
  }
  if (state.backing === 'dying') {
    moves.push({ name: 'S frees the dying backing', next: { ...state, backing: '', data: false } });
  }
  if (state.snapshotBacking === 'dying') {
    moves.push({
      name: 'S frees the dying snapshot',
      next: { ...state, snapshotBacking: '', copied: 'nothing' },
    });
  }
  return moves;
}

const pend = (state: State, pending: Pending, name: string): Move => ({
  name: `S decides: ${name}`,
  next: { ...state, serverPending: spell(pending) },
});

function decisions(state: State, rules: Rules): Move[] {
  const volume = visibleVolume(state);
  const memory = serverMemoryOf(state);
  const target = observedTarget(state);
  const backing = observedBacking(state);
  const bootID = `b${state.serverBoot}`;
  const moves: Move[] = [];
  if (volume !== undefined) {
    const plan = rules.planBacking({
      stored: volume,
      memory,
      backing,
      freeBytes: 1000n,
      extentBytes: 1n,
      copyOnWrite: false,
      exported: target !== undefined,
      growsOnline: false,
      snapshotsHoldSize: false,
      snapshotsOutlive: true,
      zeroes: false,
      sessions: [],
      bootID,
      now: 'T',
    });
    if (plan.kind === 'take') {
      moves.push(pend(state, { of: 'backing', step: plan.step }, plan.step.kind));
    } else if (plan.fact !== undefined && spell(plan.fact) !== spell(volume.status?.backend)) {
      const basis = state.server[0] === '=' ? state.volume : state.server[0];
      moves.push(pend(state, { of: 'fact', fact: plan.fact, basis }, `report of the backing`));
    }
  }
  moves.push(...snapshotDecisions(state, rules));
  const plan = rules.planExport({
    volumeID: 'v',
    volume,
    attachments: visibleAttachments(state),
    memory,
    readers: [],
    backing: backing?.state === 'complete' ? backing : undefined,
    target,
    readOnlyPerInitiator: false,
    portals: ['p'],
    bootID,
  });
  if (plan.kind === 'take') {
    const basis = plan.step.kind === 'report' ? spell(plan.step.attachment) : undefined;
    moves.push(
      pend(
        state,
        { of: 'export', step: plan.step, ...(basis === undefined ? {} : { basis }) },
        `${plan.step.kind}, ${plan.why}`,
      ),
    );
  }
  return moves;
}

function snapshotDecisions(state: State, rules: Rules): Move[] {
  const view = state.snapshotViews[1];
  const snapshot = snapshotAt(state, view);
  if (snapshot?.status?.server !== 's0') {
    return [];
  }
  const { snapshotBacking: backing } = state;
  const plan = rules.planBacking({
    stored: snapshot,
    memory: read<ServerMemory>(state.snapshotMemory),
    backing: backing === '' ? undefined : { id: 'snap', state: backing, sizeBytes: 100n, path: '/s' },
    freeBytes: 1000n,
    extentBytes: 1n,
    copyOnWrite: false,
    exported: false,
    growsOnline: false,
    snapshotsHoldSize: false,
    snapshotsOutlive: true,
    zeroes: false,
    sessions: [],
    bootID: `b${state.serverBoot}`,
    now: 'T',
  });
  if (plan.kind === 'take') {
    return [pend(state, { of: 'snapshot', step: plan.step }, `snapshot: ${plan.step.kind}`)];
  }
  if (plan.kind === 'copy') {
    return [pend(state, { of: 'copy' }, 'copies bytes')];
  }
  const basis = view === '=' ? state.snapshot : view;
  return plan.fact === undefined || spell(plan.fact) === spell(snapshot.status.backend)
    ? []
    : [pend(state, { of: 'snapshot fact', fact: plan.fact, basis }, 'report of the snapshot')];
}

function execute(state: State): Move {
  const pending = read<Pending>(state.serverPending);
  const done = { ...state, serverPending: '' };
  if (pending === undefined) {
    return { name: 'S', next: done };
  }
  switch (pending.of) {
    case 'backing':
      return { name: `S does: ${pending.step.kind}`, next: doBacking(done, pending.step) };
    case 'export':
      return { name: `S does: ${pending.step.kind}`, next: doExport(done, pending.step, pending.basis) };
    case 'snapshot':
      return { name: `S does: snapshot ${pending.step.kind}`, next: doSnapshot(done, pending.step) };
    case 'copy':
      return { name: 'S does: copies bytes', next: copyHalf(done) };
    case 'snapshot fact': {
      const snapshot = read<Snapshot>(pending.basis);
      const next = spell({ ...snapshot, status: { ...snapshot?.status, backend: pending.fact } });
      return {
        name: 'S writes its fact of the snapshot',
        next: pending.basis === state.snapshot ? writeSnapshot(done, 'server', next) : done,
      };
    }
    case 'fact': {
      const volume = read<Volume>(pending.basis);
      const next = spell({ ...volume, status: { ...volume?.status, backend: pending.fact } });
      return {
        name: 'S writes its fact of the backing',
        next: pending.basis === state.volume ? writeVolume(done, 'server', next) : done,
      };
    }
  }
}

const snapshotMemory = (state: State): ServerMemory =>
  read<ServerMemory>(state.snapshotMemory) ?? emptyServerMemory('snap', 'uid-snapshot0');

function doSnapshot(state: State, step: BackingStep): State {
  const remember = (more: Partial<ServerMemory>): State => ({
    ...state,
    snapshotMemory: spell({ ...snapshotMemory(state), ...more }),
  });
  switch (step.kind) {
    case 'remember-copy':
      return remember({ copy: step.copy });
    case 'remember-provisioned':
      return remember({ everProvisioned: true });
    case 'create':
      return state.snapshotBacking === ''
        ? { ...state, snapshotBacking: 'provisional', copied: 'nothing' }
        : state;
    case 'complete':
      return state.snapshotBacking === 'provisional' ? { ...state, snapshotBacking: 'complete' } : state;
    case 'discard':
      return state.snapshotBacking === 'provisional' ? { ...state, snapshotBacking: 'dying' } : state;
    case 'retire': {
      const live = snapshotAt(state);
      const ordered = live?.status?.order === 'Remove' && (live.status.pins ?? []).length === 0;
      return ordered && state.snapshotBacking !== '' ? { ...state, snapshotBacking: 'dying' } : state;
    }
    default:
      return state;
  }
}

/** One chunk of two. The pin is read live before the first. */
function copyHalf(state: State): State {
  const memory = snapshotMemory(state);
  const done = BigInt(memory.copy?.copiedBytes ?? '0');
  const isPinned = pinsOf(volumeAt(state)).some(({ uid }) => uid === 'uid-snapshot0');
  if (memory.copy === undefined || state.snapshotBacking !== 'provisional' || (done === 0n && !isPinned)) {
    return state;
  }
  const isSound = state.backing === 'complete' && (targetOf(state)?.sessions.length ?? 0) === 0;
  const copy = { ...memory.copy, copiedBytes: done === 0n ? '50' : '100' };
  return {
    ...state,
    copied: !isSound || state.copied === 'torn' ? 'torn' : done === 0n ? 'half' : 'all',
    snapshotMemory: spell({ ...memory, copy }),
  };
}

function doBacking(state: State, step: BackingStep): State {
  switch (step.kind) {
    case 'create':
      return state.backing === '' ? { ...state, backing: 'provisional', data: false } : state;
    case 'complete':
      return state.backing === 'provisional' ? { ...state, backing: 'complete' } : state;
    case 'remember-provisioned': {
      const memory = serverMemoryOf(state) ?? {
        volumeID: 'v',
        volumeUID: 'uid-volume0',
        revision: 0,
        items: [],
        withdrawn: [],
        withdrawnBelow: 0,
      };
      return { ...state, serverMemory: spell({ ...memory, everProvisioned: true }) };
    }
    case 'grow':
    case 'grown':
    case 'remember-fault':
    case 'remember-copy':
    case 'adopt':
    case 'take-over':
    case 'retain-orphan':
    case 'snapshot':
    case 'remember-refusal':
    case 'discard':
    case 'keep':
      return state;
    case 'retire': {
      const live = volumeAt(state);
      const ordered = live?.metadata.uid === 'uid-volume0' && live.status?.order === 'Remove';
      return ordered && pinsOf(live).length === 0 && state.backing !== ''
        ? { ...state, backing: 'dying' }
        : state;
    }
    case 'retain': {
      const live = volumeAt(state);
      const ordered = live?.metadata.uid === 'uid-volume0' && live.status?.order === 'Retain';
      return ordered && pinsOf(live).length === 0 && state.backing === 'complete'
        ? { ...state, backing: 'retained' }
        : state;
    }
  }
}

function doExport(state: State, step: ExportStep, basis: string | undefined): State {
  const target = targetOf(state);
  const keep = (next: Partial<TargetState>): State =>
    target === undefined ? state : { ...state, target: spell({ ...target, ...next }) };
  switch (step.kind) {
    case 'remember':
      return { ...state, serverMemory: spell(step.memory) };
    case 'open':
      return target !== undefined || state.backing !== 'complete'
        ? state
        : { ...state, target: spell({ readyFor: 'rw', allowed: [], sessions: [] }) };
    case 'allow':
      return keep({
        allowed: [...(target?.allowed ?? []), `${step.grant.initiator}#${step.grant.epoch}`].sort(),
      });
    case 'allow-reader':
      throw new Error('the model copies on one server only');
    case 'deny':
      return keep({ allowed: (target?.allowed ?? []).filter((entry) => nameOf(entry) !== step.initiator) });
    case 'cut':
      return target?.allowed.some((entry) => nameOf(entry) === step.initiator)
        ? state
        : keep({ sessions: (target?.sessions ?? []).filter((entry) => nameOf(entry) !== step.initiator) });
    case 'close':
      return target?.sessions.length === 0 ? { ...state, target: '' } : state;
    case 'report':
    case 'report-revision':
      return reportExport(state, step, basis);
  }
}

type Report = ExportStep & { readonly kind: 'report' | 'report-revision' };

/** Written only on the copy that the decision was made from. */
function reportExport(state: State, step: Report, basis: string | undefined): State {
  if (step.kind === 'report') {
    const index = step.attachment.metadata.uid === 'uid-attachment0' ? 0 : 1;
    const next = spell({ ...step.attachment, status: { ...step.attachment.status, export: step.fact } });
    return basis === state.attachments[index] ? writeAttachment(state, 'server', index, next) : state;
  }
  const volume = volumeAt(state, state.server[0]);
  const backend = { ...volume?.status?.backend, appliedRevision: step.revision };
  const next = spell({ ...volume, status: { ...volume?.status, backend } });
  return state.server[0] === '=' ? writeVolume(state, 'server', next) : state;
}
