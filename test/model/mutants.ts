// Rules broken on purpose: a model that does not notice these proves nothing.
import { grantFor, type Volume } from '../../api/volume.ts';
import { type Rules, rules } from './rules.ts';

export interface Mutant {
  readonly rule: string;
  readonly broken: Rules;
  /** The scenario in which it must be found, and how the finding begins. */
  readonly scenario: string;
  readonly finds: RegExp;
}

const TAKE_OVER = 'the second takes over when the first goes, with a crash anywhere';
const FENCE = 'an administrator fences a hypervisor, silent or not';

export const mutants: readonly Mutant[] = [
  {
    rule: 'a cut is believed without looking at the target',
    scenario: FENCE,
    finds: /^P[14]/,
    broken: {
      ...rules,
      planExport: (world) => {
        const granted = world.volume?.status?.grants?.items?.filter(({ state }) => state === 'Granted') ?? [];
        const blind = (entries: readonly string[]) =>
          entries.filter((entry) => granted.some(({ initiator }) => initiator === entry));
        const { target } = world;
        const seen = target && {
          ...target,
          allowed: blind(target.allowed),
          sessions: blind(target.sessions),
        };
        return rules.planExport({ ...world, target: seen });
      },
    },
  },
  {
    rule: 'the hypervisor does not remember what it gave up',
    scenario: TAKE_OVER,
    finds: /^P4/,
    broken: {
      ...rules,
      planConnection: ({ memory, ...world }) =>
        rules.planConnection({
          ...world,
          memory: memory === undefined ? undefined : { ...memory, released: 0 },
        }),
    },
  },
  {
    rule: 'the server does not remember what it withdrew',
    scenario: TAKE_OVER,
    finds: /^P4/,
    broken: {
      ...rules,
      planExport: ({ memory, ...world }) =>
        rules.planExport({
          ...world,
          memory: memory === undefined ? undefined : { ...memory, withdrawn: [], withdrawnBelow: 0 },
        }),
    },
  },
  {
    rule: 'storage is removed with grants left',
    scenario: 'both go, and the volume too',
    finds: /^P3/,
    broken: {
      ...rules,
      planVolume: (world) =>
        rules.planVolume(
          world.volume.metadata.deletionTimestamp === undefined
            ? world
            : {
                ...world,
                volume: {
                  ...world.volume,
                  status: {
                    ...world.volume.status,
                    grants: { revision: world.volume.status?.grants?.revision ?? 0 },
                  },
                },
              },
        ),
      planBacking: (world) =>
        rules.planBacking({
          ...world,
          exported: false,
          stored: { ...world.stored, status: { ...world.stored.status, grants: { revision: 0 } } } as Volume,
        }),
    },
  },
  {
    rule: 'an Exclusive volume is granted twice',
    scenario: 'two attachments race for a volume',
    finds: /^P[14]/,
    broken: {
      ...rules,
      planVolume: (world) => {
        const plan = rules.planVolume({
          ...world,
          volume: {
            ...world.volume,
            status: {
              ...world.volume.status,
              grants: { revision: world.volume.status?.grants?.revision ?? 0 },
            },
          },
          attachments: world.attachments.filter(
            ({ metadata }) => grantFor(world.volume, metadata.uid) === undefined,
          ),
        });
        const [grant] = plan.kind === 'write' ? (plan.change.grants?.items ?? []) : [];
        return plan.kind === 'write' && grant !== undefined
          ? {
              ...plan,
              change: {
                grants: {
                  revision: grant.epoch,
                  items: [...(world.volume.status?.grants?.items ?? []), grant],
                },
              },
            }
          : rules.planVolume(world);
      },
    },
  },
  {
    rule: 'nobody looks after a grant whose Attachment is gone',
    scenario: 'a deposed controller writes late',
    finds: /^P[45]/,
    broken: { ...rules, planVolume: (world) => rules.planVolume({ ...world, goneAttachments: new Set() }) },
  },
  {
    rule: 'a leftover disk is known by its volume alone',
    scenario: 'two attachments of one VM, the first cut off while its host is silent',
    finds: /^P3/,
    broken: {
      ...rules,
      planLeftover: (world) =>
        rules.planLeftover({
          ...world,
          vmmLogsIn: false,
          memory: { ...world.memory, released: 0 },
          disk: world.disk && { ...world.disk, grant: 'this' },
        }),
    },
  },
  {
    rule: 'a disk that left the description is taken for gone',
    scenario: 'the server reboots while a guest lets the disk go, with a crash anywhere',
    finds: /^P4: VM 0 stands still/,
    broken: { ...rules, planConnection: (world) => rules.planConnection({ ...world, closing: false }) },
  },
  {
    rule: 'a volume is granted while it is copied',
    scenario: 'a snapshot and an attachment race for a volume, and the server reboots',
    finds: /^P3/,
    broken: {
      ...rules,
      planVolume: (world) => {
        const plan = rules.planVolume(world);
        const { pins: _, ...status } = world.volume.status ?? {};
        return plan.kind === 'settled'
          ? rules.planVolume({ ...world, copies: [], volume: { ...world.volume, status } })
          : plan;
      },
    },
  },
  {
    rule: 'a pin is dropped before the copy is made',
    scenario: 'a snapshot comes and goes, and the volume too',
    finds: /^P3/,
    broken: {
      ...rules,
      planVolume: (world) => {
        const made = {
          ...world.volume.status?.backend,
          placementEpoch: 1,
          bootID: 'b',
          everProvisioned: true,
        };
        const copies = world.copies.map((copy) =>
          copy.status?.placement === undefined
            ? copy
            : { ...copy, status: { ...copy.status, backend: made } },
        ) as typeof world.copies;
        return rules.planVolume({ ...world, copies });
      },
    },
  },
  {
    rule: 'what is to be retained is removed',
    scenario: 'a volume whose data is to be retained is deleted, with a crash anywhere and a server reboot',
    finds: /^P3/,
    broken: {
      ...rules,
      planVolume: (world) => {
        const plan = rules.planVolume(world);
        return plan.kind === 'write' && plan.change.order === 'Retain'
          ? { ...plan, change: { order: 'Remove' } }
          : plan;
      },
    },
  },
  {
    rule: 'a fence is not carried out',
    scenario: FENCE,
    finds: /^P4/,
    broken: {
      ...rules,
      planVolume: (world) => {
        const plan = rules.planVolume(world);
        const fences =
          plan.kind === 'write' && plan.change.grants?.items?.some(({ state }) => state === 'Fencing');
        return fences === true ? { kind: 'settled' } : plan;
      },
    },
  },
];
