// Two controllers: one leads and the other waits. When the leader dies in the middle of an operation the other finishes it;
// when it is asked to stop it hands over.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Guest } from '../harness/guest.ts';
import { LeaderWatch, leads } from '../harness/leaders.ts';
import { loud } from '../harness/loud.ts';
import { freePort } from '../harness/ports.ts';
import { waitFor } from '../harness/process.ts';
import { attachment, openStory, type Story, volume } from '../harness/story.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);

interface World {
  story: Story;
  guest: Guest;
  secondPort: number;
  watch: LeaderWatch;
}

const leader = suite<World>('two controllers');

leader.before(
  loud(async (world) => {
    world.story = await openStory(log);
    const { story } = world;
    world.secondPort = await freePort();
    await story.startProgram('controller-2', 'controller', {
      ...(await story.configOf('controller')),
      http: { port: world.secondPort },
    });
    world.guest = await story.guest('vm-a');
    world.watch = new LeaderWatch([story.system.controllerPort, world.secondPort]);
  }),
);

leader.after(
  loud(async ({ story, watch }) => {
    await watch?.stop();
    await story?.close();
  }),
);

async function untilLeads(port: number): Promise<void> {
  const what = `the controller on port ${port} to lead`;
  await waitFor({ what, timeoutMs: 60_000, intervalMs: 10 }, async () => (await leads(port)) === true);
}

leader('the second one waits', async ({ story, secondPort }) => {
  await untilLeads(story.system.controllerPort);
  await waitFor({ what: 'the second controller to answer', timeoutMs: 60_000 }, async () => {
    return (await leads(secondPort)) !== undefined;
  });
  assert.is(await leads(secondPort), false);
  const ready = await fetch(`http://127.0.0.1:${secondPort}/readyz`);
  assert.is(ready.status, 200, 'it is ready to take over');
});

leader(
  'kill -9 in the middle of an attach: the other one finishes it',
  async ({ story, guest, secondPort }) => {
    await story.makeVolume('db');
    await story.waitReady(volume('db'));
    await story.attach('db-on-vm-a', 'db', 'vm-a');
    await waitFor({ what: 'the attach to be under way', timeoutMs: 60_000, intervalMs: 5 }, async () => {
      return (await story.get(attachment('db-on-vm-a')))?.metadata.finalizers !== undefined;
    });
    await story.system.kill('controller');
    const killedAt = Date.now();
    await untilLeads(secondPort);
    log(`kill -9: ${Date.now() - killedAt} ms without a leader`);
    await story.waitReady(attachment('db-on-vm-a'));
    log(`kill -9: the attach was complete after ${Date.now() - killedAt} ms`);
    await guest.writeMarker(await story.volumeID('db'), 'by the second');
  },
);

leader('an orderly stop hands over', async ({ story, guest, secondPort }) => {
  await story.system.run('controller');
  await waitFor({ what: 'the first controller to be ready again', timeoutMs: 60_000 }, async () => {
    return (await leads(story.system.controllerPort)) === false;
  });
  await story.remove(attachment('db-on-vm-a'));
  const second = story.program('controller-2');
  const stoppedAt = Date.now();
  const stopped = second.stop(30_000);
  await untilLeads(story.system.controllerPort);
  log(`orderly stop: ${Date.now() - stoppedAt} ms until the other leads`);
  await stopped;
  assert.is(await second.exited, 'exit code 0');
  await story.waitGone(attachment('db-on-vm-a'));
  assert.is(await guest.findDisk(await story.volumeID('db')), undefined);
  assert.is(await leads(secondPort), undefined);
  await story.removeAndWait(volume('db'));
  await story.nothingLeft();
});

leader('never did both lead', async ({ watch }) => {
  await watch.stop();
  assert.ok(watch.samples > 100, `${watch.samples} samples`);
  assert.is(watch.both, 0);
});

leader.run();
