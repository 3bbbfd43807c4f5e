// What a hypervisor's agent and its VM may do next; as on the server, a decision and its deed are two moments.
import type { Attachment } from '../../api/attachment.ts';
import type { ConnectionStep, FoundDisk } from '../../node-agent/connection/plan.ts';
import type { Instance } from '../../node-agent/roles/vmm.ts';
import { HOSTS, initiators } from './fixtures.ts';
import type { Move } from './moves.ts';
import type { Rules } from './rules.ts';
import {
  attachmentAt,
  hostMemoryOf,
  read,
  replaced,
  type State,
  spell,
  type TargetState,
  targetOf,
  type VmState,
  vmOf,
  volumeAt,
  writeAttachment,
} from './state.ts';

type Pending =
  | { readonly of: 'step'; readonly index: 0 | 1; readonly step: ConnectionStep; readonly epoch: number }
  | { readonly of: 'fact'; readonly index: 0 | 1; readonly fact: unknown; readonly basis: string };

const BOTH = [0, 1] as const;

export function hostMoves(state: State, rules: Rules, host: 0 | 1): Move[] {
  const moves = vmMoves(state, host);
  if (!state.awake[host]) {
    return moves;
  }
  const pending = read<Pending>(state.hostPending[host]);
  return pending === undefined
    ? [...moves, ...BOTH.flatMap((index) => decide(state, rules, host, index))]
    : [...moves, execute(state, host, pending)];
}

/** The guest lets go of a disk it was asked for, QEMU closes it, and logs in again after its session was lost. */
function vmMoves(state: State, host: 0 | 1): Move[] {
  const vm = vmOf(state, host);
  const target = targetOf(state);
  const { disk, closing } = vm;
  const me = `${initiators[host]}#${(disk ?? closing)?.epoch}`;
  if (closing !== undefined) {
    return target?.allowed.includes(me) === true
      ? [
          {
            name: `QEMU ${host} logs in again and closes the disk`,
            next: withVm(state, host, { running: true }),
          },
        ]
      : [];
  }
  if (disk === undefined) {
    return [];
  }
  const moves: Move[] = [];
  if (vm.detaching === true) {
    const sessions = target?.sessions.filter((entry) => entry !== me) ?? [];
    const closed = target?.sessions.includes(me) === true;
    moves.push({
      name: `guest ${host} lets the disk go${closed ? '' : ', and QEMU stands still over it'}`,
      next: withVm(
        { ...state, target: target === undefined ? '' : spell({ ...target, sessions }) },
        host,
        closed ? { running: true } : { running: true, closing: disk },
      ),
    });
  }
  if (target?.allowed.includes(me) === true && !target.sessions.includes(me)) {
    moves.push({ name: `QEMU ${host} logs in again`, next: withSession(state, target, me) });
  }
  return moves;
}

const withVm = (state: State, host: 0 | 1, vm: object): State => ({
  ...state,
  vms: replaced(state.vms, host, spell(vm)),
});

/** A session is a writer: from now on there are bytes to lose. */
const withSession = (state: State, target: TargetState, entry: string): State => ({
  ...state,
  target: spell({ ...target, sessions: [...target.sessions, entry].sort() }),
  data: state.backing === 'complete' ? true : state.data,
  everWritten: true,
  copied: state.copied === 'half' ? 'torn' : state.copied,
});

function visible(state: State, host: 0 | 1, index: 0 | 1): Attachment | undefined {
  const attachment = attachmentAt(state, index, state.hosts[host][index]);
  return attachment?.status?.hypervisor === HOSTS[host] ? attachment : undefined;
}

function decide(state: State, rules: Rules, host: 0 | 1, index: 0 | 1): Move[] {
  const attachment = visible(state, host, index);
  if (attachment === undefined) {
    return leftover(state, rules, host, index);
  }
  const vm = vmOf(state, host);
  const instance = {
    name: `vm${host}`,
    uuid: `uuid-${host}`,
    state: vm.running ? ('Running' as const) : ('Stopped' as const),
  };
  const plan = rules.planConnection({
    attachment,
    memory: hostMemoryOf(state, host, index),
    instance,
    disk: found(vm, instance, attachment.status?.epoch),
    closing: vm.closing !== undefined,
    residue: false,
    vmmLogsIn: true,
    growsOnline: false,
    resizing: false,
    bootID: `b${state.hostBoot[host]}`,
  });
  const epoch = attachment.status?.epoch ?? 0;
  if (plan.kind === 'take') {
    const { kind } = plan.step;
    if ((kind === 'detach' && vm.detaching === true) || (kind === 'attach' && vm.closing !== undefined)) {
      return [];
    }
    const pending: Pending = { of: 'step', index, step: plan.step, epoch };
    return [pend(state, host, pending, `${plan.step.kind}, ${plan.why}`)];
  }
  if (plan.fact === undefined || spell(plan.fact) === spell(attachment.status?.connection)) {
    return [];
  }
  const basis = spell(attachment);
  return [pend(state, host, { of: 'fact', index, fact: plan.fact, basis }, 'report')];
}

/** The VMM shows disks by volume, and of which grant they are. */
const found = ({ disk }: VmState, instance: Instance, epoch: number | undefined): FoundDisk | undefined =>
  disk === undefined
    ? undefined
    : { instance, disk: { device: 'vdb', volumeID: 'v' }, grant: disk.epoch === epoch ? 'this' : 'other' };

function stillBound(state: State, host: 0 | 1, index: 0 | 1, epoch: number): Attachment | undefined {
  const live = attachmentAt(state, index);
  return live?.status?.hypervisor === HOSTS[host] && (live.status.epoch ?? 0) <= epoch ? live : undefined;
}

/** What the host remembers of an Attachment it no longer sees; the live GETs and the deed are one moment. */
function leftover(state: State, rules: Rules, host: 0 | 1, index: 0 | 1): Move[] {
  const memory = hostMemoryOf(state, host, index);
  if (memory === undefined) {
    return [];
  }
  const vm = vmOf(state, host);
  const instance = { name: `vm${host}`, uuid: `uuid-${host}`, state: 'Running' as const };
  const plan = rules.planLeftover({
    memory,
    attachment: stillBound(state, host, index, memory.epoch),
    volume: volumeAt(state),
    disk: found(vm, instance, memory.epoch),
    residue: false,
    vmmLogsIn: true,
  });
  if (plan.kind === 'keep') {
    return [];
  }
  const next =
    plan.step.kind === 'forget'
      ? {
          ...state,
          hostMemory: replaced(state.hostMemory, host, replaced(state.hostMemory[host], index, '')),
        }
      : withVm(state, host, { ...vm, detaching: true });
  return [{ name: `H${host} clears up: ${plan.step.kind}, ${plan.why}`, next }];
}

const pend = (state: State, host: 0 | 1, pending: Pending, name: string): Move => ({
  name: `H${host} decides: ${name}`,
  next: { ...state, hostPending: replaced(state.hostPending, host, spell(pending)) },
});

function execute(state: State, host: 0 | 1, pending: Pending): Move {
  const done = { ...state, hostPending: replaced(state.hostPending, host, '') };
  if (pending.of === 'fact') {
    const attachment = read<Attachment>(pending.basis);
    const next = spell({ ...attachment, status: { ...attachment?.status, connection: pending.fact } });
    const fresh = pending.basis === state.attachments[pending.index];
    const writer = host === 0 ? 'host0' : 'host1';
    return {
      name: `H${host} writes its fact`,
      next: fresh ? writeAttachment(done, writer, pending.index, next) : done,
    };
  }
  return { name: `H${host} does: ${pending.step.kind}`, next: act(done, host, pending) };
}

function act(state: State, host: 0 | 1, { index, step, epoch }: Pending & { of: 'step' }): State {
  const vm = vmOf(state, host);
  switch (step.kind) {
    case 'remember': {
      const memories = replaced(state.hostMemory[host], index, spell(step.memory));
      return { ...state, hostMemory: replaced(state.hostMemory, host, memories) };
    }
    case 'attach': {
      const target = targetOf(state);
      const me = `${initiators[host]}#${epoch}`;
      const busy = vm.disk !== undefined || vm.closing !== undefined;
      if (target?.allowed.includes(me) !== true || !vm.running || busy) {
        return state;
      }
      return withVm(withSession(state, target, me), host, {
        running: true,
        disk: { attachment: index, epoch },
      });
    }
    case 'detach': {
      // The guest is asked only when the target answers for this disk.
      const answers = targetOf(state)?.allowed.includes(`${initiators[host]}#${vm.disk?.epoch}`) === true;
      return vm.disk === undefined || !answers ? state : withVm(state, host, { ...vm, detaching: true });
    }
    case 'cancel':
    case 'resize':
    case 'disconnect':
      return state;
  }
}
