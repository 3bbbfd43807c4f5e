/**
 * Wraps a suite's `before` or `after` hook so that its error is seen: uvu swallows what
 * a `before` hook throws and then runs no test.
 */
export const loud =
  <Context>(hook: (context: Context) => Promise<void>) =>
  async (context: Context): Promise<void> => {
    try {
      await hook(context);
    } catch (error) {
      process.stderr.write(
        `\na hook of the suite failed: ${error instanceof Error ? error.stack : String(error)}\n`,
      );
      throw error;
    }
  };
