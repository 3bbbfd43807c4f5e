/** `{name}` in strings. `{{` and `}}` stand for braces. Nothing else: no expressions, no defaults. */

const TOKEN = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;
const NAME = /^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*$/;

/** Names a template uses. Throws a SyntaxError for stray braces. */
export const namesIn = (template: string): readonly string[] =>
  [...template.matchAll(TOKEN)].flatMap(([token, name]) => {
    if (token === '{{' || token === '}}') {
      return [];
    }
    if (name === undefined || !NAME.test(name)) {
      throw new SyntaxError(`${JSON.stringify(token)} is no {parameter}; write {{ or }} for a brace`);
    }
    return [name];
  });

/** Undefined when a value it needs is (a flag that is not set). */
export const render = (template: string, value: (name: string) => string | undefined): string | undefined => {
  let missing = false;
  const text = template.replaceAll(TOKEN, (token: string, name: string | undefined) => {
    if (token === '{{' || token === '}}') {
      return token.charAt(0);
    }
    const filled = value(name ?? '');
    missing ||= filled === undefined;
    return filled ?? '';
  });
  return missing ? undefined : text;
};

/** Puts the texts of `let` names in their place, also within each other. */
export const expandLets = (template: string, lets: Readonly<Record<string, string>>, depth = 0): string => {
  if (depth > 8) {
    throw new SyntaxError(`let values go in a circle: ${template.slice(0, 80)}`);
  }
  return template.replaceAll(TOKEN, (token: string, name: string | undefined) => {
    const text = name !== undefined && Object.hasOwn(lets, name) ? lets[name] : undefined;
    return text === undefined ? token : expandLets(text, lets, depth + 1);
  });
};
