import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Pin, Volume } from '../../api/volume.ts';
import { type VisitContext, type Visited, writePins } from '../../controller/visit.ts';
import { silentLog } from '../../runtime/log.ts';
import { aVolume, provisioned } from '../builders/objects.ts';

const test = suite('letting other servers read');
const { signal } = new AbortController();

const reader = (server: string) => ({ server, initiator: `iqn.2026-11.dev.vbs:copy.${server}.1`, epoch: 1 });
const pin = (name: string, server?: string): Pin => ({
  uid: `uid-${name}`,
  kind: 'Volume',
  name,
  ...(server === undefined ? {} : { reader: reader(server) }),
});
/** No key can be made with these hosts. */
const context = (asked: string[], failing: readonly string[]) =>
  ({
    deps: {
      ensureChapKey: async (server: string, host: string) => {
        asked.push(`${server} ${host}`);
        if (failing.includes(host)) {
          throw new Error(`namespaces "vbs-host-${host}" not found`);
        }
      },
    },
    log: silentLog,
    signal,
  }) as unknown as VisitContext;

const NOTHING_LEFT: Visited = { kind: 'settled', afterMs: 60_000 };

const written = async (before: Volume, wanted: readonly Pin[], visit: VisitContext) => {
  let pins: readonly Pin[] = [];
  const visited = await writePins(before, wanted, visit, async (kept) => {
    pins = kept;
    return NOTHING_LEFT;
  });
  return { pins, visited };
};

test('a pair of hosts without a key holds up nothing but its own copy', async () => {
  const asked: string[] = [];
  const before = aVolume({ status: { ...provisioned, pins: [pin('a', 's4')] } });
  const wanted = [pin('a', 's4'), pin('b', 's2'), pin('c', 's3'), pin('d')];
  const { pins, visited } = await written(before, wanted, context(asked, ['s2']));
  assert.equal(pins, [pin('a', 's4'), pin('b'), pin('c', 's3'), pin('d')]);
  assert.equal(visited, { kind: 'settled', afterMs: 5_000 }, 'and that one is tried again soon');
  assert.equal(asked, ['s1 s2', 's1 s3'], 'one that is in already has its key');
});

test('with all keys made the pins are as they should be', async () => {
  const wanted = [pin('b', 's2')];
  const { pins, visited } = await written(aVolume({ status: provisioned }), wanted, context([], []));
  assert.equal([pins, visited], [wanted, NOTHING_LEFT]);
});

test.run();
