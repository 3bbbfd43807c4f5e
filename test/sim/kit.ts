// What the hosts of a world work with: each choice is a profile of the agents.

/** What the pool of each server is made of. */
export type PoolProfile = 'lvm-thick' | 'lvm-thin';
export type TargetKind = 'lio' | 'tgt';
export type VmmKind = 'xen' | 'libvirt';
/** Who logs in: the kernel of the hypervisor, or the machine itself. */
export type InitiatorKind = 'open-iscsi' | 'qemu';

export interface Kit {
  readonly pool: PoolProfile;
  readonly target: TargetKind;
  readonly vmm: VmmKind;
  readonly initiator: InitiatorKind;
}

export const CHOICES = {
  pool: ['lvm-thick', 'lvm-thin'],
  target: ['lio', 'tgt'],
  vmm: ['xen', 'libvirt'],
  initiator: ['open-iscsi', 'qemu'],
} as const satisfies { readonly [Part in keyof Kit]: readonly Kit[Part][] };

const USUAL: Kit = { pool: 'lvm-thick', target: 'lio', vmm: 'xen', initiator: 'open-iscsi' };

/** What is not named is as usual. Throws for what does not go together. */
export const kitOf = (part: Partial<Kit> = {}): Kit => {
  const kit = { ...USUAL, ...part };
  if (kit.vmm === 'xen' && kit.initiator === 'qemu') {
    throw new Error('the machines of Xen do not log in themselves');
  }
  if (kit.target === 'lio' && kit.initiator === 'qemu') {
    throw new Error('the LIO of this world knows one session of an initiator at a target');
  }
  return kit;
};

export const shownKit = ({ pool, target, vmm, initiator }: Kit): string =>
  [pool, target, vmm, initiator].join(', ');

/** As options of npm run test:faults. */
export const optionsOf = (kit: Kit): string =>
  Object.entries(kit)
    .filter(([part, choice]) => choice !== USUAL[part as keyof Kit])
    .map(([part, choice]) => ` --${part} ${choice}`)
    .join('');
