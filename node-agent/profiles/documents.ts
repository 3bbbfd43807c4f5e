/** Documents built from trees. Values are escaped here and nowhere else; nobody joins strings to XML. */

import type { Tree } from './format.ts';

type Fill = (template: string) => string | undefined;
type Branch = { readonly [key: string]: Tree };

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

export const escapeXml = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (mark) => ESCAPES[mark] ?? mark);

const isBranch = (tree: Tree): tree is Branch =>
  typeof tree === 'object' && tree !== null && !Array.isArray(tree);

const leafText = (tree: Tree, fill: Fill): string | undefined =>
  typeof tree === 'string' ? fill(tree) : String(tree);

const attribute = (name: string, tree: Tree, fill: Fill): string => {
  const text = leafText(tree, fill);
  return text === undefined ? '' : ` ${name}="${escapeXml(text)}"`;
};

const element = (name: string, tree: Tree, fill: Fill): string => {
  if (Array.isArray(tree)) {
    return tree.map((item: Tree) => element(name, item, fill)).join('');
  }
  if (!isBranch(tree)) {
    const text = leafText(tree, fill);
    return text === undefined ? '' : tag(name, '', escapeXml(text));
  }
  const entries = Object.entries(tree);
  const attributes = entries
    .filter(([key]) => key.startsWith('@'))
    .map(([key, value]) => attribute(key.slice(1), value, fill));
  const inner = entries
    .filter(([key]) => !key.startsWith('@'))
    .map(([key, value]) =>
      key === '#' ? escapeXml(leafText(value, fill) ?? '') : element(key, value, fill),
    );
  return tag(name, attributes.join(''), inner.join(''));
};

const tag = (name: string, attributes: string, inner: string): string =>
  inner === '' ? `<${name}${attributes}/>` : `<${name}${attributes}>${inner}</${name}>`;

/** A tree with one root element. What needs a flag that is not set is left out. */
export const buildXml = (tree: Tree, fill: Fill): string => {
  if (!isBranch(tree) || Object.keys(tree).length !== 1) {
    throw new TypeError('an XML document has one root element');
  }
  return Object.entries(tree)
    .map(([name, root]) => element(name, root, fill))
    .join('');
};

const filled = (tree: Tree, fill: Fill): Tree | undefined => {
  if (typeof tree === 'string') {
    return fill(tree);
  }
  if (Array.isArray(tree)) {
    return tree.map((item: Tree) => filled(item, fill)).filter((item) => item !== undefined);
  }
  if (!isBranch(tree)) {
    return tree;
  }
  return Object.fromEntries(
    Object.entries(tree).flatMap(([key, value]) => {
      const text = filled(value, fill);
      return text === undefined ? [] : [[key, text]];
    }),
  );
};

export const buildJson = (tree: Tree, fill: Fill): string => JSON.stringify(filled(tree, fill));
