import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  configFrom,
  configText,
  localServer,
  parseControlPlaneConfig,
  publicServer,
  servedNames,
} from '../../control-plane/config.ts';
import { ConfigError } from '../../runtime/errors.ts';

const test = suite('the configuration of a control plane');
const FILE = 'control-plane.yaml';

const complaint = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    assert.instance(error, ConfigError);
    return (error as Error).message;
  }
  return 'no complaint';
};

test('without a word it is for this machine only', () => {
  const config = configFrom({ addresses: [] });
  assert.is(publicServer(config), 'https://127.0.0.1:6443');
  assert.is(localServer(config), 'https://127.0.0.1:6443');
  assert.equal(servedNames(config), ['127.0.0.1', '::1', 'localhost']);
});

test('one address is where it listens, and what hosts are told', () => {
  const config = configFrom({ addresses: ['192.0.2.10', 'vbs.example.org'] });
  assert.equal(config.listen, { address: '192.0.2.10', port: 6443 });
  assert.is(publicServer(config), 'https://192.0.2.10:6443');
  assert.is(localServer(config), 'https://192.0.2.10:6443');
  assert.equal(servedNames(config), ['192.0.2.10', 'vbs.example.org', '127.0.0.1', '::1', 'localhost']);
});

test('a name needs an address to listen on, which may be all of them', () => {
  assert.match(
    complaint(() => configFrom({ addresses: ['vbs.example.org'] })),
    /is a name: say with --listen/,
  );
  const config = configFrom({ addresses: ['vbs.example.org'], listen: '0.0.0.0:7443' });
  assert.is(publicServer(config), 'https://vbs.example.org:7443');
  assert.is(localServer(config), 'https://127.0.0.1:7443');
});

test('IPv6', () => {
  const config = configFrom({ addresses: ['2001:db8::10'], listen: '[2001:db8::10]:7443' });
  assert.is(publicServer(config), 'https://[2001:db8::10]:7443');
  assert.is(localServer(configFrom({ addresses: ['2001:db8::10'], listen: '::' })), 'https://[::1]:6443');
});

test('IPv6 addresses are brought into the form in which the machine tells its own', () => {
  const config = configFrom({
    addresses: ['2001:DB8:0:0::10', '0:0:0:0:0:0:0:1'],
    listen: '[2001:DB8::0010]:7443',
  });
  assert.is(config.address, '2001:db8::10');
  assert.equal(config.alternativeAddresses, ['::1']);
  assert.is(config.listen.address, '2001:db8::10');
  const written = parseControlPlaneConfig(FILE, 'address: 2001:DB8::10\nlisten: { address: 2001:DB8:0::10 }');
  assert.equal([written.address, written.listen.address], ['2001:db8::10', '2001:db8::10']);
  assert.match(
    complaint(() => configFrom({ addresses: ['2001:db8::10'], listen: '0:0:0:0:0:0:0:1' })),
    /::1 is reached from this machine only/,
  );
});

test('an address has no port, nor is it almost one', () => {
  for (const address of ['192.0.2.10:7443', 'vbs.example.org:7443', '[2001:db8::10]:7443', '192.0.2.300']) {
    for (const listen of [undefined, '0.0.0.0']) {
      for (const addresses of [[address], ['192.0.2.10', address]]) {
        assert.match(
          complaint(() => configFrom({ addresses, listen })),
          /^--address: .* is neither an IP address nor a name; .*--listen ADDRESS:PORT/,
          address,
        );
      }
    }
  }
});

test('hosts are told the address on which it listens, and which when it listens on all of them has to be said', () => {
  assert.is(
    publicServer(configFrom({ addresses: [], listen: '192.0.2.10:7443' })),
    'https://192.0.2.10:7443',
  );
  for (const listen of ['0.0.0.0:7443', '::']) {
    assert.match(
      complaint(() => configFrom({ addresses: [], listen })),
      /these are all addresses of this machine: say with --address/,
    );
  }
});

test('what is written is what is read', () => {
  const config = configFrom({ addresses: ['192.0.2.10', 'a.example'], listen: '0.0.0.0:7443' });
  assert.equal(parseControlPlaneConfig(FILE, configText(config)), config);
});

const wrong: readonly (readonly [text: string, words: RegExp])[] = [
  ['adress: 10.0.0.1', /control-plane\.yaml:1: adress: there is no such key; remove it or write address/],
  [
    'address: 10.0.0.1',
    /listen\.address: hosts are told to connect to 10\.0\.0\.1, and 127\.0\.0\.1 is reached from this machine only/,
  ],
  ['address: 0.0.0.0\nlisten: { address: 0.0.0.0 }', /address: hosts cannot connect to 0\.0\.0\.0/],
  ['listen: { address: example.org }', /listen\.address: example\.org is no IP address/],
  [
    'address: 10.0.0.1:7443\nlisten: { address: 0.0.0.0 }',
    /control-plane\.yaml: address: 10\.0\.0\.1:7443 is neither/,
  ],
  ['listen: { port: 443 }', /control-plane\.yaml:1: listen\.port: must be >= 1024/],
  ['backup: { directory: backups }', /backup\.directory: .*change the value/],
  ['backup: { keepDays: 0 }', /backup\.keepDays/],
  ['address: "a b"', /address/],
];
for (const [text, words] of wrong) {
  test(`refuses ${text.replace('\n', '; ')}`, () => {
    assert.match(
      complaint(() => parseControlPlaneConfig(FILE, text)),
      words,
    );
  });
}

test('--listen is an address', () => {
  for (const listen of ['eth0', '10.0.0.1:', 'example.org:6443', '2001:db8::1:6443:x']) {
    assert.match(
      complaint(() => configFrom({ addresses: [], listen })),
      /--listen .*give an IP address/,
      listen,
    );
  }
});

test.run();
