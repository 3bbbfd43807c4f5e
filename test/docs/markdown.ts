/** As much of Markdown as tells where a page points to, what can be pointed to in it, and what it shows in fences. */

const FENCE = /^( *)```[^\n]*\n([\s\S]*?)^\1```/gm;
const INLINE_CODE = /`[^`\n]*`/g;
const LINK = /\[(?:[^\][]|\[[^\]]*\])*\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)/g;

const withoutFences = (text: string): string => text.replaceAll(FENCE, '');

/** What stands in fences, each without the blanks by which all of it is indented. */
export const fencesOf = (text: string): readonly string[] =>
  [...text.matchAll(FENCE)].map(([, indent = '', body = '']) =>
    body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  );

/** Links to other pages of this repository, and within the page. A link whose text is code is one, too. */
export const linksOf = (text: string): readonly string[] =>
  [...withoutFences(text).replaceAll(INLINE_CODE, '').matchAll(LINK)]
    .map(([, link = '']) => link)
    .filter((link) => link !== '' && !/^[a-z]+:/.test(link));

/** The names of headings, as GitHub makes them. */
export function anchorsOf(text: string): readonly string[] {
  const seen = new Map<string, number>();
  return [...withoutFences(text).matchAll(/^#{1,6} +(.+?) *#*$/gm)].map(([, heading = '']) => {
    const slug = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{Letter}\p{Number}\p{Mark} _-]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
}
