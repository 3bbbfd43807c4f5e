// How many writes each operation costs the API server, by its own audit log, with a reason for each; and that nothing is
// written and nothing on the hosts is changed while nothing happens.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { attachment, openStory, type Story, volume } from '../harness/story.ts';
import { HYPERVISOR, SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const quietMs = 15_000;
const budgets = { create: 4, attach: 6, detach: 4, delete: 3 };

/** audit.k8s.io/v1 Event, as far as it is read here. */
interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef: { readonly resource: string; readonly name?: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestObject?: { readonly status?: object; readonly metadata?: object };
}

interface World {
  story: Story;
  guest: Guest;
  auditDir: string;
}

const writes = suite<World>('API writes');

/** Every request that could change something, with its body; heartbeats and Events apart. */
const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection'];

const policy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    {
      level: 'None',
      resources: [
        { group: 'coordination.k8s.io', resources: ['leases'] },
        { group: 'events.k8s.io', resources: ['events'] },
      ],
    },
    // What is in a Secret is not for a log.
    { level: 'Metadata', verbs: WRITES, resources: [{ group: '', resources: ['secrets'] }] },
    { level: 'Request', verbs: WRITES },
  ],
};

const auditLog = ({ auditDir }: World) => path.join(auditDir, 'audit.log');

/** What our programs wrote since `from` bytes of the audit log. */
async function writesOf(world: World, from: number): Promise<readonly AuditEvent[]> {
  const text = (await readFile(auditLog(world))).subarray(from).toString();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditEvent)
    .filter(({ user }) => user.username.startsWith('system:serviceaccount:vbs-'));
}

async function lengthOf(world: World): Promise<number> {
  return (await readFile(auditLog(world))).length;
}

/** Who wrote what to which object. */
function describe({ verb, user, objectRef, responseStatus, requestObject }: AuditEvent): string {
  const who = user.username.split(':').slice(2).join('/').replace('vbs-host-', '').replace('/vbs-agent', '');
  const object = [objectRef.resource, objectRef.name, objectRef.subresource].filter(Boolean).join('/');
  const body = requestObject?.status ?? requestObject?.metadata ?? {};
  const conditions = (body as { conditions?: { type: string; reason: string }[] }).conditions ?? [];
  const ready = conditions.find(({ type }) => type === 'Ready')?.reason;
  const keys = Object.keys(body).filter((key) => !['uid', 'resourceVersion'].includes(key));
  return `${who} ${verb} ${object} ${responseStatus?.code}: ${keys.join(', ')}${ready === undefined ? '' : ` (Ready: ${ready})`}`;
}

/** The writes of one operation, until nothing more is written for a while: late ones count too. */
async function counted(world: World, operation: () => Promise<unknown>): Promise<readonly string[]> {
  const from = await lengthOf(world);
  await operation();
  await untilQuiet(world, 4_000);
  return (await writesOf(world, from)).map(describe);
}

async function untilQuiet(world: World, ms: number): Promise<void> {
  let length = await lengthOf(world);
  let since = Date.now();
  await waitFor({ what: `${ms / 1000} s without a write`, timeoutMs: 60_000, intervalMs: 200 }, async () => {
    const now = await lengthOf(world);
    if (now !== length) {
      [length, since] = [now, Date.now()];
    }
    return Date.now() - since > ms;
  });
}

/** How many commands that change something our agents ran, from their logs: looks are told at level debug. */
async function changes({ story }: World): Promise<number> {
  const logs = await Promise.all(
    [SERVER, HYPERVISOR].map((name) => readFile(story.system.logFile(name), 'utf8')),
  );
  const lines = logs.flatMap((text) => text.split('\n'));
  return lines.filter((line) => line.includes('"msg":"Running verb"') && line.includes('"level":"info"'))
    .length;
}

function print(name: string, found: readonly string[]): void {
  log(`${name}: ${found.length} writes`);
  for (const line of found) {
    log(`    ${line}`);
  }
}

writes.before(
  loud(async (world) => {
    // The API server needs the policy before the system has a directory.
    world.auditDir = path.join(os.tmpdir(), `vbs-audit-${process.pid}`);
    await mkdir(world.auditDir, { mode: 0o700 });
    const policyFile = path.join(world.auditDir, 'policy.json');
    await writeFile(policyFile, JSON.stringify(policy));
    const apiServerArgs = [
      `--audit-policy-file=${policyFile}`,
      `--audit-log-path=${auditLog(world)}`,
      '--audit-log-mode=blocking-strict',
    ];
    world.story = await openStory(log, { apiServerArgs });
    world.guest = await world.story.guest('vm-a');
    // The first attachment between two hosts makes their key: that is no cost of an operation.
    await world.story.attached('warm', world.guest);
    await world.story.removeAndWait(attachment('warm-on-vm-a'), volume('warm'));
    await world.story.nothingLeft();
    await untilQuiet(world, 4_000);
  }),
);

writes.after(
  loud(async ({ story, auditDir }) => {
    await story?.close();
    await rm(auditDir, { recursive: true, force: true });
  }),
);

writes('each operation keeps to its budget', async (world) => {
  const { story, guest } = world;
  const found = {
    create: await counted(world, async () => {
      await story.makeVolume('db');
      await story.waitReady(volume('db'));
    }),
    attach: await counted(world, async () => {
      await story.attach('db-on-vm-a', 'db', 'vm-a');
      await story.waitReady(attachment('db-on-vm-a'));
      await guest.waitForDisk(await story.volumeID('db'));
    }),
    detach: await counted(world, () => story.removeAndWait(attachment('db-on-vm-a'))),
    delete: await counted(world, () => story.removeAndWait(volume('db'))),
  };
  for (const [name, lines] of Object.entries(found)) {
    print(name, lines);
  }
  for (const [name, budget] of Object.entries(budgets)) {
    const lines = found[name as keyof typeof budgets];
    assert.ok(lines.length > 0, `${name}: the audit log shows no write at all, so nothing was counted`);
    assert.ok(lines.length <= budget, `${name} took ${lines.length} writes, not ${budget}`);
  }
  await story.nothingLeft();
});

writes('nothing is written and nothing changed while nothing happens', async (world) => {
  const { story, guest } = world;
  const id = await story.attached('still', guest);
  await story.makeVolume('idle');
  await story.waitReady(volume('idle'));
  await untilQuiet(world, 4_000);
  const [from, changed] = [await lengthOf(world), await changes(world)];
  assert.ok(changed > 0, 'the logs show which commands changed something');
  // The guest at work is no reason to write either.
  const end = Date.now() + quietMs;
  while (Date.now() < end) {
    await guest.write(id, 1 << 20, Buffer.alloc(65_536, 7));
  }
  assert.equal((await writesOf(world, from)).map(describe), []);
  assert.is(await changes(world), changed, 'no command changed anything');
  await story.removeAndWait(attachment('still-on-vm-a'), volume('still'), volume('idle'));
});

writes.run();
