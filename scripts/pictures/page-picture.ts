/**
 * A page in a picture: no picture of it, but the very page, which needs nothing else and is well-formed XML. Where it is
 * shown, it is laid out by the reader's browser, in light or dark.
 *
 * @param size px; what the page does not need of it is left free, and what it needs beyond is cut off.
 */
export function pagePicture(page: string, size: { readonly width: number; readonly height: number }): string {
  const { height, width } = size;
  const content = page.replace('<!DOCTYPE html>\n<html', '<html xmlns="http://www.w3.org/1999/xhtml"');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<foreignObject width="${width}" height="${height}">
${content}</foreignObject>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" fill="none" stroke="#8b95a5"/>
</svg>
`;
}
