// Our certificates, judged by openssl and by Node.
import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makeCaCertificate, makeKey, makeLeafCertificate } from '../../../control-plane/pki/certificate.ts';

const test = suite<{ dir: string }>('certificates');
test.before(async (world) => {
  world.dir = await mkdtemp(path.join(os.tmpdir(), 'certificate-'));
});
test.after(async ({ dir }) => await rm(dir, { recursive: true, force: true }));

const notBefore = new Date('2026-11-26T10:00:00Z');
const caKey = makeKey();
const ca = makeCaCertificate(caKey, 'vbs-ca', { notBefore, notAfter: new Date('2052-11-26T10:00:00Z') });
const issuer = { certificate: ca, key: caKey };
const names = ['10.0.0.7', '2001:db8::7', '::1', 'storage.example.org'];
const key = makeKey();
const leaf = (usage: 'server' | 'client') =>
  makeLeafCertificate(
    {
      subject: { commonName: 'someone', organizations: ['one', 'two'] },
      usage,
      names: usage === 'server' ? names : [],
      key,
      notBefore,
      notAfter: new Date('2049-12-31T23:59:59Z'),
    },
    issuer,
  );

const openssl = (...args: string[]): string =>
  execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });

test('openssl accepts both, each for its use only', async ({ dir }) => {
  const file = (name: string) => path.join(dir, name);
  await writeFile(file('ca.crt'), ca);
  for (const [usage, purpose, other] of [
    ['server', 'sslserver', 'sslclient'],
    ['client', 'sslclient', 'sslserver'],
  ] as const) {
    await writeFile(file(usage), leaf(usage));
    const verify = ['verify', '-x509_strict', '-attime', '1811700000', '-CAfile', file('ca.crt')];
    assert.match(openssl(...verify, '-purpose', purpose, file(usage)), 'OK');
    assert.throws(() => openssl(...verify, '-purpose', other, file(usage)), /purpose/);
  }
});

test('they say what was asked for', () => {
  const certificate = new X509Certificate(leaf('server'));
  assert.is(certificate.subject, 'O=one\nO=two\nCN=someone');
  assert.is(certificate.issuer, 'CN=vbs-ca');
  for (const name of names) {
    assert.ok(isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name), name);
  }
  assert.is(certificate.checkIP('10.0.0.8'), undefined);
  assert.is(certificate.checkHost('other.example.org'), undefined);
  assert.equal(certificate.validFromDate, notBefore);
  assert.equal(certificate.validToDate, new Date('2049-12-31T23:59:59Z'));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(key)));
  assert.not.ok(certificate.ca);
});

test('a CA is one, also beyond 2050', () => {
  const certificate = new X509Certificate(ca);
  assert.ok(certificate.ca);
  assert.ok(certificate.verify(certificate.publicKey));
  assert.is(certificate.validToDate.toISOString(), '2052-11-26T10:00:00.000Z');
  assert.ok(new X509Certificate(leaf('client')).verify(certificate.publicKey));
});

test('no two have one serial number', () => {
  const made = Array.from({ length: 50 }, () => leaf('client'));
  assert.is(new Set(made.map((text) => new X509Certificate(text).serialNumber)).size, 50);
});

test.run();
