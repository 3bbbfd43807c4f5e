// The pure plans over objects as nobody would write them: they refuse, or decide by their rules all the same. What is irreversible is only
// ever decided on its order.
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attachment } from '../../api/attachment.ts';
import { FINALIZER, initiatorName } from '../../api/names.ts';
import { ATTACHMENTS, SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import type { Grant, Stored, Volume } from '../../api/volume.ts';
import { planVolume } from '../../controller/volume/plan.ts';
import { planConnection } from '../../node-agent/connection/plan.ts';
import { planExport } from '../../node-agent/export/plan.ts';
import type { Backing } from '../../node-agent/roles/pool.ts';
import type { Export } from '../../node-agent/roles/target.ts';
import { emptyServerMemory, type ServerMemory } from '../../node-agent/volume/memory.ts';
import { planBacking } from '../../node-agent/volume/plan.ts';
import { aGrant, aWorld, VOLUME_ID } from '../builders/objects.ts';
import { holds } from '../harness/fuzz.ts';
import { hostileObject, type Lures } from '../sim/hostile.ts';

const test = suite('plans over hostile objects');
const RUNS = 1_000;

const LURES: Lures = {
  server: ['s1'],
  hypervisor: ['h1', 'h2'],
  pool: ['main'],
  className: ['standard'],
  volumeID: [VOLUME_ID],
  snapshotID: ['snap0123456789abcdef'],
  epoch: [1, 2],
  placementEpoch: [1],
  initiator: [initiatorName('h1'), initiatorName('h2')],
  attachments: [['uid-att'], ['uid-other']],
  size: ['4Mi'],
  sizeBytes: ['4194304'],
};

const FINALIZERS = [FINALIZER];
const objects = <T>(resource: typeof VOLUMES): fc.Arbitrary<T> =>
  hostileObject(resource, LURES, FINALIZERS).map(({ object }) => object as unknown as T);

/** Undefined: refused. Anything but an Error is a fault of its own. */
const decided = <T>(plan: () => T): T | undefined => {
  try {
    return plan();
  } catch (error) {
    assert.instance(error, Error);
    return undefined;
  }
};

const MIB = 1024n * 1024n;
const backings: fc.Arbitrary<Backing | undefined> = fc.option(
  fc.constantFrom('provisional', 'complete', 'growing', 'dying', 'retained').map(
    (state): Backing => ({
      id: VOLUME_ID,
      state: state as Backing['state'],
      sizeBytes: 4n * MIB,
      path: '/p',
      ...(state === 'growing' ? { cleanBytes: 2n * MIB } : {}),
    }),
  ),
  { nil: undefined },
);
const grants = fc.array(
  fc
    .record({ epoch: fc.nat(3), hypervisor: fc.constantFrom('h1', 'h2') })
    .map(
      ({ epoch, hypervisor }): Grant => aGrant({ epoch, hypervisor, initiator: initiatorName(hypervisor) }),
    ),
  { maxLength: 1 },
);
const memories: fc.Arbitrary<ServerMemory | undefined> = fc.option(
  fc
    .record({ everProvisioned: fc.boolean(), items: grants, revision: fc.nat(3) })
    .map((known): ServerMemory => ({ ...emptyServerMemory(VOLUME_ID, 'uid-db'), ...known })),
  { nil: undefined },
);

test('data is made, retired and retained by its rules only', () =>
  holds(
    fc.property(
      fc.oneof(objects<Stored>(VOLUMES), objects<Stored>(SNAPSHOTS)),
      memories,
      backings,
      fc.boolean(),
      (stored, memory, backing, flag) => {
        const plan = decided(() =>
          planBacking({
            stored,
            memory,
            backing,
            freeBytes: 64n * MIB,
            extentBytes: MIB,
            copyOnWrite: flag,
            exported: flag,
            growsOnline: flag,
            snapshotsHoldSize: flag,
            snapshotsOutlive: !flag,
            zeroes: flag,
            sessions: flag ? ['iqn.x:host.h1'] : [],
            bootID: 'boot-s1',
            now: '2026-01-02T00:00:00Z',
          }),
        );
        if (plan?.kind !== 'take') {
          return;
        }
        const { step } = plan;
        const { order, backend } = stored.status ?? {};
        assert.ok(step.kind !== 'retire' || order === 'Remove', 'retired without an order');
        assert.ok(step.kind !== 'retain' || order === 'Retain', 'retained without an order');
        assert.ok(stored.metadata.finalizers?.includes(FINALIZER));
        if (step.kind === 'create') {
          assert.ok(memory?.everProvisioned !== true, 'made anew');
          // The pool makes nothing under a name that still means something.
          assert.ok(backing === undefined || backing.state === 'dying');
          assert.ok(
            backend?.everProvisioned !== true || backend.placementEpoch !== stored.status?.placement?.epoch,
          );
        }
        assert.ok(!('sizeBytes' in step) || step.sizeBytes > 0n);
      },
    ),
    { runs: RUNS },
  ));

const targets: fc.Arbitrary<Export | undefined> = fc.option(
  fc
    .record({
      allowed: fc.subarray([initiatorName('h1'), initiatorName('h2')], { maxLength: 1 }),
      sessions: fc.subarray([initiatorName('h1'), initiatorName('h2')], { maxLength: 1 }),
    })
    .map(
      (seen): Export => ({
        volumeID: VOLUME_ID,
        iqn: `iqn.2026-11.dev.vbs:${VOLUME_ID}`,
        lun: 1,
        ready: true,
        serial: VOLUME_ID,
        path: '/p',
        readOnly: false,
        chapUsers: [],
        ...seen,
      }),
    ),
  { nil: undefined },
);

test('nobody is let in but by a grant, and nobody beside another', () =>
  holds(
    fc.property(
      objects<Volume>(VOLUMES),
      fc.array(objects<Attachment>(ATTACHMENTS), { maxLength: 2 }),
      memories,
      targets,
      (volume, attachments, memory, target) => {
        const plan = decided(() =>
          planExport({
            volumeID: VOLUME_ID,
            volume,
            attachments,
            memory,
            readers: [],
            backing: { id: VOLUME_ID, state: 'complete', sizeBytes: 4n * MIB, path: '/p' },
            target,
            readOnlyPerInitiator: true,
            portals: ['10.0.0.1:3260'],
            bootID: 'boot-s1',
          }),
        );
        if (plan?.kind !== 'take' || plan.step.kind !== 'allow') {
          return;
        }
        const { grant } = plan.step;
        assert.is(grant.state, 'Granted');
        // What is acted on was remembered before.
        assert.ok(
          memory?.items.some((one) => one.epoch === grant.epoch && one.initiator === grant.initiator),
        );
        const others = [...(target?.allowed ?? []), ...(target?.sessions ?? [])];
        assert.equal(
          others.filter((one) => one !== grant.initiator),
          [],
        );
      },
    ),
    { runs: RUNS },
  ));

test('a disk is plugged in only where it is exported for that very grant, and never for one that was given up', () =>
  holds(
    fc.property(
      objects<Attachment>(ATTACHMENTS),
      fc.nat(3),
      fc.boolean(),
      (attachment, released, running) => {
        const memory = {
          attachmentUID: '',
          namespace: 'team',
          name: 'evil',
          volumeName: 'db',
          volumeID: VOLUME_ID,
          epoch: 1,
          instanceUUID: 'vm-uuid',
          released,
        };
        const plan = decided(() =>
          planConnection({
            attachment,
            memory,
            instance: { name: 'vm-a', uuid: 'vm-uuid', state: running ? 'Running' : 'Stopped' },
            disk: undefined,
            closing: false,
            residue: false,
            vmmLogsIn: false,
            growsOnline: false,
            resizing: false,
            bootID: 'boot-h1',
          }),
        );
        if (plan?.kind !== 'take' || plan.step.kind !== 'attach') {
          return;
        }
        const { epoch, release, export: exported } = attachment.status ?? {};
        assert.ok(running && epoch !== undefined && epoch > released && release !== true);
        assert.is(attachment.metadata.deletionTimestamp, undefined);
        assert.is(exported?.epoch, epoch);
        assert.is(exported?.state, 'Exported');
      },
    ),
    { runs: RUNS },
  ));

test('the controller orders an end only for what is deleted, granted to nobody and pinned by nobody', () =>
  holds(
    fc.property(
      objects<Volume>(VOLUMES),
      fc.array(objects<Attachment>(ATTACHMENTS), { maxLength: 2 }),
      (volume, attachments) => {
        const plan = decided(() => planVolume(aWorld({ volume, attachments })));
        const isEnd =
          plan?.kind === 'remove-finalizer' ||
          (plan?.kind === 'write' && plan.change.order !== undefined && plan.change.order !== 'Keep');
        if (isEnd) {
          assert.ok(volume.metadata.deletionTimestamp !== undefined);
          assert.equal(volume.status?.grants?.items ?? [], []);
          assert.equal(volume.status?.pins ?? [], []);
        }
      },
    ),
    { runs: RUNS },
  ));

test.run();
