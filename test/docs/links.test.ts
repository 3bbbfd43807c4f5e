// What the documentation points to is there, and what it tells people to apply is taken.
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import { API_VERSION } from '../../api/resources.ts';
import { parseProfile } from '../../node-agent/profiles/load.ts';
import { ROLES, type RoleName } from '../../node-agent/profiles/vocabulary.ts';
import { validators } from '../api/validation.ts';
import { exists } from '../harness/cache.ts';
import { anchorsOf, fencesOf, linksOf } from './markdown.ts';
import { pagesWithText } from './pages.ts';

const test = suite('docs');
const ROOT = path.resolve(import.meta.dirname, '../..');
const texts = await pagesWithText();

/** What is wrong with a link; undefined when it leads somewhere. */
async function brokenLink(page: string, link: string): Promise<string | undefined> {
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? page : path.join(path.dirname(page), decodeURI(file));
  if (!(await exists(path.join(ROOT, target)))) {
    return `${link}: there is no ${target}`;
  }
  const text = texts.get(target);
  return anchor === undefined || text === undefined || anchorsOf(text).includes(anchor)
    ? undefined
    : `${link}: ${target} has no such heading`;
}

for (const [page, text] of texts) {
  test(`every link of ${page} leads somewhere`, async () => {
    const broken = await Promise.all(linksOf(text).map((link) => brokenLink(page, link)));
    assert.equal(
      broken.filter((problem) => problem !== undefined),
      [],
    );
  });
}

interface Shown {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly profile?: number;
  readonly role?: RoleName;
}

const shownIn = (text: string): readonly Shown[] =>
  parseAllDocuments(text).flatMap((document): Shown[] => {
    const shown = document.errors.length === 0 ? (document.toJS() as Shown | null) : null;
    return typeof shown === 'object' && shown !== null ? [shown] : [];
  });

const validate = await validators();

for (const [page, text] of texts) {
  const shown = fencesOf(text).flatMap(shownIn);
  const ours = shown.filter(({ apiVersion }) => apiVersion?.startsWith('vbs.dev/') === true);
  if (ours.length > 0) {
    test(`the manifests in ${page} are valid`, () => {
      for (const manifest of ours) {
        assert.is(manifest.apiVersion, API_VERSION);
        const check = validate.get(manifest.kind ?? '');
        assert.ok(check, `there is no kind ${manifest.kind}`);
        assert.ok(check?.(manifest), JSON.stringify(check?.errors));
      }
    });
  }
}

test('the profile of the tutorial is one', () => {
  const text = fencesOf(texts.get('docs/write-a-profile.md') ?? '').find((one) =>
    one.startsWith('profile: 1\n'),
  );
  assert.ok(text);
  const { format } = parseProfile(text ?? '', 'boxctl.yaml', 'vmm');
  assert.is(format.name, 'boxctl');
});

test('every verb of a profile stands in its documentation', () => {
  const text = texts.get('docs/profiles.md') ?? '';
  const missing = Object.entries(ROLES).flatMap(([role, { verbs }]) =>
    Object.keys(verbs)
      .filter(
        (verb) =>
          !text.includes(`\`${verb}\``) && !text.includes(`[\`${verb}\`]`) && !text.includes(`[${verb}]`),
      )
      .map((verb) => `${role} ${verb}`),
  );
  assert.equal(missing, []);
});

test('a page that leads nowhere, and a heading that is not there, are found', async () => {
  assert.equal(linksOf('see [a](b.md#c), `[no](code.md)` and ![d](e.svg)'), ['b.md#c', 'e.svg']);
  assert.equal(linksOf('[out](https://example.org/x.md)'), []);
  assert.equal(anchorsOf('# One `two` — three!\n## Same\n## Same\n'), ['one-two--three', 'same', 'same-1']);
  assert.match((await brokenLink('README.md', 'docs/nowhere.md')) ?? '', 'there is no docs/nowhere.md');
  assert.match((await brokenLink('README.md', '#nowhere')) ?? '', 'no such heading');
});

test.run();
