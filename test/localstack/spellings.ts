/** A text as it is, and in base64 by the three ways that it can lie there; without the digits that neighbours share. */
export function spellingsOf(text: string): readonly string[] {
  const encoded = [0, 1, 2].map((before) => {
    const digits = Buffer.from(`${'-'.repeat(before)}${text}`).toString('base64');
    return digits.slice(before === 0 ? 0 : before + 1, Math.floor(((before + text.length) * 8) / 6));
  });
  return [text, ...encoded];
}
