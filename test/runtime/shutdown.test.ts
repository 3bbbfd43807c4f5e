import { EventEmitter } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { installShutdown } from '../../runtime/shutdown.ts';
import { recordingLog } from '../fakes/log.ts';

const test = suite('shutdown');

function aProgram() {
  const events = new EventEmitter();
  const exits: number[] = [];
  const { log, lines } = recordingLog();
  const shutdown = installShutdown({ log, events, exit: (code) => exits.push(code) });
  return { events, exits, lines, shutdown };
}

test('the first signal asks for an orderly stop, the second leaves', () => {
  const { events, exits, shutdown } = aProgram();
  events.emit('SIGTERM', 'SIGTERM');
  assert.ok(shutdown.signal.aborted);
  assert.equal(exits, []);
  events.emit('SIGINT', 'SIGINT');
  assert.equal(exits, [1]);
});

test('a promise nobody held ends the program, with the reason in the log', () => {
  const { events, exits, lines } = aProgram();
  events.emit('unhandledRejection', new Error('forgotten'));
  assert.equal(exits, [1]);
  assert.match(String(lines[0]?.fields.err), 'forgotten');
});

test('the handlers can be taken away', () => {
  const { events, shutdown } = aProgram();
  shutdown.uninstall();
  assert.equal(events.eventNames(), []);
});

test.run();
