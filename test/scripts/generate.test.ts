import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { outOfStep } from '../../scripts/generate.ts';

const test = suite('generated files');

test('are what their sources give now; if not, run: npm run generate', async () => {
  assert.equal(await outOfStep(), []);
});

test.run();
