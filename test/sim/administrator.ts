// What is known not to heal without a person, where machines log in themselves (docs/faults.md): whoever reads what is said of a disk that
// was cut off, or of a machine that stands still, restarts that machine.
import type { Attachment } from '../../api/attachment.ts';
import type { Hypervisor } from '../../api/hosts.ts';
import { ATTACHMENTS, HYPERVISORS } from '../../api/resources.ts';
import { readyOf } from './judge.ts';
import type { World } from './world.ts';

const LOOK_MS = 60_000;
/** A disk that has been closing in so many looks is not closed any more. */
const PATIENCE = 4;

const cutOffIn = (world: World): readonly string[] => [
  ...world.api
    .all<Attachment>(ATTACHMENTS)
    .flatMap(({ status }) => status?.connection?.problem ?? [])
    .flatMap(({ reason, message = '' }) =>
      reason === 'DiskCutOff' ? (/^instance (\S+) holds/.exec(message)?.slice(1) ?? []) : [],
    ),
  ...world.api
    .all<Hypervisor>(HYPERVISORS)
    .flatMap(({ status }) => status?.agent?.leftovers ?? [])
    .flatMap(({ kind, message = '' }) =>
      kind === 'Disk' ? (/^in instance (\S+);/.exec(message)?.slice(1) ?? []) : [],
    ),
];

/** From now on, each minute. */
export const attendTo = (world: World): void => {
  const closing = new Map<string, number>();
  const look = (): void => {
    const slow = world.api.all<Attachment>(ATTACHMENTS).flatMap((attachment) => {
      const { name } = attachment.metadata;
      const isClosing = readyOf(attachment)?.reason === 'Detaching';
      closing.set(name, isClosing ? (closing.get(name) ?? 0) + 1 : 0);
      return (closing.get(name) ?? 0) > PATIENCE ? [attachment.spec.instance.name ?? ''] : [];
    });
    for (const vm of new Set([...cutOffIn(world), ...slow])) {
      world.tell(`administrator: restarts ${vm}`);
      world.restartVm(vm);
    }
    world.clock.after(LOOK_MS, look);
  };
  look();
};
