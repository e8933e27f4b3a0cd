/** DynamoDB keeps this many significant digits. */
const MAX_DIGITS = 38;
/** Decimal exponents of the first significant digit: 1E-130 to 9.99…E+125. */
const MIN_EXPONENT = -130;
const MAX_EXPONENT = 125;

const FORM = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

export type CheckedNumber =
  /** `value` is the same text for equal numbers: 1, 1.0 and 10e-1. */
  { readonly kind: 'number'; readonly value: string } | { readonly kind: 'refused'; readonly why: string };

/** Tells whether DynamoDB can keep a decimal text exactly; nothing goes through a JavaScript number. */
export function checkNumber(text: string): CheckedNumber {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = FORM.exec(text) ?? [];
  const digits = whole + fraction;
  if (digits === '') return refused('is not a number');
  let first = 0;
  while (digits[first] === '0') first += 1;
  let end = digits.length;
  while (end > first && digits[end - 1] === '0') end -= 1;
  if (first === end) return { kind: 'number', value: '0' };
  if (end - first > MAX_DIGITS) {
    return refused(`has ${end - first} significant digits, and DynamoDB keeps ${MAX_DIGITS}`);
  }
  const magnitude = whole.length - first - 1 + Number(exponent);
  if (magnitude > MAX_EXPONENT) return refused('is beyond the range of DynamoDB, which ends below 1E+126');
  if (magnitude < MIN_EXPONENT)
    return refused('is closer to zero than 1E-130, the least that DynamoDB keeps');
  return { kind: 'number', value: `${sign === '-' ? '-' : ''}${digits.slice(first, end)}E${magnitude}` };
}

function refused(why: string): CheckedNumber {
  return { kind: 'refused', why };
}
