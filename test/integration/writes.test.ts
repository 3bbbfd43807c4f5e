// What each operation costs the API server and the hosts, against test/budget.yaml; and that nothing is written and nothing
// on the hosts is changed while nothing happens.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VOLUME_CLASSES } from '../../api/resources.ts';
import {
  type AuditEvent,
  AuditLog,
  isList,
  isWrite,
  programOf,
  readyIn,
  slownessIn,
} from '../harness/audit.ts';
import { type Budget, type Cost, loadBudget, overBudget } from '../harness/budget.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { attachment, openStory, type Story, snapshot, volume } from '../harness/story.ts';
import { HYPERVISOR, SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const quietMs = 15_000;
const settleMs = 4_000;

interface World {
  story: Story;
  guest: Guest;
  audit: AuditLog;
  budget: Budget;
}

const writes = suite<World>('costs');

/** Who wrote what to which object. */
function describe(event: AuditEvent): string {
  const { verb, objectRef, responseStatus, requestObject, requestURI } = event;
  const object = [objectRef.resource, objectRef.name, objectRef.subresource].filter(Boolean).join('/');
  if (isList(event)) {
    return `${programOf(event)} ${verb} ${requestURI}`;
  }
  const body = requestObject?.status ?? requestObject?.metadata ?? {};
  const ready = readyIn(event);
  const keys = Object.keys(body).filter((key) => !['uid', 'resourceVersion'].includes(key));
  return `${programOf(event)} ${verb} ${object} ${responseStatus?.code}: ${keys.join(', ')}${ready === undefined ? '' : ` (Ready: ${ready})`}`;
}

/** The verbs that change something which each agent ran, from its log: looks are told at level debug. */
async function changes({ story }: World): Promise<readonly (readonly string[])[]> {
  const verbsOf = async (name: string) =>
    (await readFile(story.system.logFile(name), 'utf8'))
      .split('\n')
      .filter((line) => line.includes('"msg":"Running verb"') && line.includes('"level":"info"'))
      .map((line) => (JSON.parse(line) as { readonly verb: string }).verb);
  return Promise.all([SERVER, HYPERVISOR].map(verbsOf));
}

interface Spent {
  readonly cost: Required<Cost>;
  readonly details: readonly string[];
}

/** What all programs did while `work` ran, and until nothing more is written for a while: late ones count too. */
async function spentBy(world: World, work: () => Promise<unknown>): Promise<Spent> {
  const [from, before, beganMs] = [await world.audit.end(), await changes(world), Date.now()];
  await work();
  await world.audit.quiet(settleMs);
  const events = await world.audit.between(from);
  const [written, lists] = [events.filter(isWrite), events.filter(isList)];
  const slow = slownessIn(written, beganMs);
  const commands = (await changes(world)).flatMap((verbs, host) => verbs.slice(before[host]?.length));
  return {
    cost: { writes: written.length - slow.length, lists: lists.length, commands: commands.length },
    details: [...written, ...lists]
      .map(describe)
      .concat(
        `commands: ${commands.join(', ')}`,
        ...slow.map((event) => `not counted, since this machine is slow: ${describe(event)}`),
      ),
  };
}

function print(name: string, { cost, details }: Spent): void {
  log(`${name}: ${cost.writes} writes, ${cost.lists} lists, ${cost.commands} commands that change something`);
  for (const line of details) {
    log(`    ${line}`);
  }
}

writes.before(
  loud(async (world) => {
    world.budget = await loadBudget();
    world.audit = await AuditLog.make({ bodies: true });
    world.story = await openStory(log, { apiServerArgs: world.audit.apiServerArgs });
    world.guest = await world.story.guest('vm-a');
    // The first attachment between two hosts makes their key: that is no cost of an operation.
    await world.story.attached('warm', world.guest);
    await world.story.removeAndWait(attachment('warm-on-vm-a'), volume('warm'));
    await world.story.nothingLeft();
    await world.audit.quiet(settleMs);
  }),
);

writes.after(
  loud(async ({ story, audit }) => {
    await story?.close();
    await audit?.remove();
  }),
);

writes('each operation keeps to its budget', async (world) => {
  const { story, guest, budget } = world;
  const found: Record<string, Spent> = {
    create: await spentBy(world, async () => {
      await story.makeVolume('db');
      await story.waitReady(volume('db'));
    }),
    attach: await spentBy(world, async () => {
      await story.attach('db-on-vm-a', 'db', 'vm-a');
      await story.waitReady(attachment('db-on-vm-a'));
      await guest.waitForDisk(await story.volumeID('db'));
    }),
    detach: await spentBy(world, () => story.removeAndWait(attachment('db-on-vm-a'))),
    snapshot: await spentBy(world, async () => {
      await story.makeSnapshot('nightly', 'db');
      await story.waitReady(snapshot('nightly'));
    }),
    restore: await spentBy(world, async () => {
      await story.makeVolume('copy', { source: { snapshotRef: { name: 'nightly' } } });
      await story.waitReady(volume('copy'));
    }),
    deleteSnapshot: await spentBy(world, () => story.removeAndWait(snapshot('nightly'))),
    delete: await spentBy(world, () => story.removeAndWait(volume('db'))),
  };
  for (const [name, spent] of Object.entries(found)) {
    print(name, spent);
    assert.ok(spent.cost.writes > 0, `${name}: the audit log shows no write at all, so nothing was counted`);
    assert.ok(spent.cost.commands > 0, `${name}: the agents' logs show no command, so nothing was counted`);
  }
  const over = Object.entries(found).flatMap(([name, { cost }]) =>
    overBudget(name, cost, budget.operations[name]),
  );
  assert.equal(over, []);
  await story.removeAndWait(volume('copy'));
  await story.nothingLeft();
});

writes('nothing is written and nothing changed while nothing happens', async (world) => {
  const { story, guest, budget } = world;
  const id = await story.attached('still', guest);
  await story.makeVolume('idle');
  await story.waitReady(volume('idle'));
  await world.audit.quiet(settleMs);
  const spent = await spentBy(world, async () => {
    // The guest at work is no reason to write either.
    const end = Date.now() + quietMs;
    while (Date.now() < end) {
      await guest.write(id, 1 << 20, Buffer.alloc(65_536, 7));
    }
  });
  print('idle', spent);
  assert.equal(overBudget('idle', spent.cost, budget.idle), []);
  await story.removeAndWait(attachment('still-on-vm-a'), volume('still'), volume('idle'));
});

writes('the trash: going in, lying there and coming back keep to their budget', async (world) => {
  const { story, budget } = world;
  const className = 'kept';
  const spec = { poolSelector: { profile: 'file' }, trash: { ttlSeconds: 3_600 } };
  await story.make({ resource: VOLUME_CLASSES, name: className }, spec);
  await story.makeVolume('old', { className });
  await story.waitReady(volume('old'));
  const id = await story.volumeID('old');
  const source = { existing: { volumeServer: SERVER, id } };
  const found: Record<string, Spent> = {
    trash: await spentBy(world, () => story.removeAndWait(volume('old'))),
    lying: await spentBy(world, () => sleep(quietMs)),
    undelete: await spentBy(world, async () => {
      await story.makeVolume('again', { source });
      await story.waitReady(volume('again'));
    }),
  };
  for (const [name, spent] of Object.entries(found)) {
    print(name, spent);
  }
  assert.ok((found.trash?.cost.writes ?? 0) > 0 && (found.undelete?.cost.writes ?? 0) > 0);
  const { lying, ...operations } = found;
  assert.equal(overBudget('lying', lying?.cost ?? {}, budget.idle), []);
  const over = Object.entries(operations).flatMap(([name, { cost }]) =>
    overBudget(name, cost, budget.operations[name]),
  );
  assert.equal(over, []);
  await story.removeAndWait(volume('again'));
  await story.nothingLeft();
});

writes.run();
