// Grants of a volume whose object was lost, which stand on its server: they are taken up with their numbers, so that nobody who uses them
// notices, and each is given to the Attachment that asks for the same. Pure.
import { type Attachment, isReadOnly } from '../../api/attachment.ts';
import { backendOf, type Grant, grantsOf, isUnclaimed, type Volume } from '../../api/volume.ts';
import { bind, type HypervisorView } from '../binding.ts';
import { waitersOf } from './waiters.ts';

interface FormerWorld {
  readonly volume: Volume;
  readonly attachments: readonly Attachment[];
  readonly hypervisors: readonly HypervisorView[];
}

/** All grants as they should be; undefined when they are. */
export function planFormer(world: FormerWorld): readonly Grant[] | undefined {
  const { volume } = world;
  const told = volume.status?.grants === undefined ? (backendOf(volume)?.former ?? []) : [];
  const items: readonly Grant[] = [
    ...grantsOf(volume),
    ...told.map(
      ({ attachments, ...grant }): Grant => ({
        ...grant,
        attachments: [],
        former: attachments,
        state: 'Granted',
      }),
    ),
  ];
  const unclaimed = items.find((item) => isUnclaimed(item) && item.state === 'Granted');
  const claimant = unclaimed && waitersOf(world).find((one) => isClaim(one, unclaimed, world));
  if (claimant !== undefined) {
    return items.map((item) =>
      item === unclaimed ? { ...item, attachments: [claimant.metadata.uid] } : item,
    );
  }
  return told.length > 0 ? items : undefined;
}

/** On the same hypervisor, for the same use. In which of its VMs the disk is, the hypervisor knows. */
function isClaim(attachment: Attachment, { hypervisor, mode }: Grant, { hypervisors }: FormerWorld): boolean {
  const binding = bind(attachment, hypervisors);
  return (
    binding.kind === 'bound' &&
    binding.hypervisor.host.metadata.name === hypervisor &&
    isReadOnly(attachment) === (mode === 'ReadOnly')
  );
}
