// What the commands in the documentation ask of our kinds is there: fields that are printed, and fields that objects are selected by.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Crd, readCrds } from '../../scripts/generate.ts';
import { fieldsOf, schemaOf } from '../api/fields.ts';
import { pagesWithText } from './pages.ts';

const test = suite('commands in the documentation');

interface Kind {
  /** Without the brackets of lists: `status.agent.pools.name`. */
  readonly fields: ReadonlySet<string>;
  readonly selectable: ReadonlySet<string>;
}

interface Named {
  readonly spec: {
    readonly names: {
      readonly plural: string;
      readonly singular: string;
      readonly shortNames: readonly string[];
    };
    readonly versions: readonly { readonly selectableFields?: readonly { readonly jsonPath: string }[] }[];
  };
}

/** By each of the names which kubectl takes. */
function namesOf(crd: Crd): readonly (readonly [string, Kind])[] {
  const { names, versions } = (crd as unknown as Named).spec;
  const selectable = (versions[0]?.selectableFields ?? []).map(({ jsonPath }) => jsonPath.slice(1));
  const kind = {
    fields: new Set(fieldsOf(schemaOf(crd)).map(({ path }) => path.replaceAll('[]', ''))),
    selectable: new Set([...selectable, 'metadata.name', 'metadata.namespace']),
  };
  return [names.plural, names.singular, ...names.shortNames].map((name) => [name, kind]);
}

const kinds = new Map((await readCrds()).flatMap(namesOf));

const COMMAND = /kubectl (?:-n \S+ )?(?:get|wait) [^`\n]*/g;

/** Those of ours among its first words. */
const kindsIn = (command: string): readonly Kind[] =>
  command
    .split(/[\s,/]+/)
    .slice(0, 8)
    .flatMap((word) => kinds.get(word) ?? []);

/** Fields in a template for jsonpath, from the root on. */
function printedBy(template: string): readonly string[] {
  const inside: string[] = [''];
  return [...template.matchAll(/\{(?<range>range )?(?<path>\.[^}\s]+)\}|\{end\}/g)].flatMap(({ groups }) => {
    const { range, path } = groups ?? {};
    if (path === undefined) {
      inside.pop();
      return [];
    }
    const field = path.replaceAll(/\[[^\]]*\]/g, '').replace(/^\.items(?=\.|$)/, '');
    const whole = `${inside.at(-1)}${field}`;
    if (range !== undefined) {
      inside.push(whole);
    }
    return whole === '' ? [] : [whole.slice(1)];
  });
}

const ofKubernetes = (field: string): boolean => /^(metadata|kind|apiVersion)\b/.test(field);

/** What a command asks for and none of its kinds has. */
function unknownIn(command: string): readonly string[] {
  const about = kindsIn(command);
  if (about.length === 0) {
    return [];
  }
  const template = /jsonpath=(.*)$/.exec(command)?.[1] ?? '';
  const selectors = [...command.matchAll(/--field-selector[ =]'?([\w.]+)=/g)].map(([, field = '']) => field);
  return [
    ...printedBy(template).filter(
      (field) => !ofKubernetes(field) && !about.some(({ fields }) => fields.has(field)),
    ),
    ...selectors.filter((field) => !about.every(({ selectable }) => selectable.has(field))),
  ];
}

for (const [page, text] of await pagesWithText()) {
  const commands = [...text.matchAll(COMMAND)].map(([command]) => command);
  if (commands.some((command) => kindsIn(command).length > 0)) {
    test(`${page} asks for what there is`, () => {
      assert.equal(
        commands.flatMap((command) => unknownIn(command).map((field) => `${field}: ${command}`)),
        [],
      );
    });
  }
}

test('what is not there is found', () => {
  const pools = "kubectl get volumeserver S -o jsonpath='{range .status.agent.pools[*]}{.name}{.size}{end}'";
  assert.equal(unknownIn(pools), ['status.agent.pools.size']);
  const items =
    "kubectl get volumeservers -o jsonpath='{range .items[*]}{.metadata.name}{.status.pools}{end}'";
  assert.equal(unknownIn(items), ['status.pools']);
  assert.equal(unknownIn('kubectl get vbshv --field-selector status.server=S'), ['status.server']);
  assert.equal(unknownIn('kubectl get vbsatt -A --field-selector status.server=S'), []);
  assert.equal(unknownIn('kubectl get lease L -o jsonpath={.spec.holderIdentity}'), []);
});

test.run();
