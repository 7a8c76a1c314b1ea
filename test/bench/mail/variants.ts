/** A server that differs from the product's in how mail is stored, and in nothing else. */
export interface Variant {
  driver: "sdbox" | "maildir" | "mdbox";
  encrypted: boolean;
}

/** What the others are compared with comes first. */
export const variants: Variant[] = (["sdbox", "maildir", "mdbox"] as const).flatMap((driver) => [
  { driver, encrypted: false },
  { driver, encrypted: true },
]);

export const nameOf = ({ driver, encrypted }: Variant) =>
  `${driver} ${encrypted ? "encrypted" : "plain"}`;

/** Where a variant keeps mail, and what it keeps in memory only. */
export function foldersOf(variant: Variant): { home: string; cache: string } {
  const folder = `bench/${variant.driver}-${variant.encrypted ? "encrypted" : "plain"}`;
  return { home: `/srv/mail/${folder}`, cache: `/run/mail/${folder}` };
}

/** The product's dovecot.conf with a few lines changed. @throws Error where it hasn't the expected lines. */
export function configOf(product: string, variant: Variant): string {
  const { home, cache } = foldersOf(variant);
  const text = [
    { line: /^mail_driver = sdbox$/m, by: `mail_driver = ${variant.driver}` },
    { line: /^(mail_home = )\/srv\/mail\/home\//m, by: `$1${home}/` },
    { line: /^(\s*mail_cache_path = )\/run\/mail\/cache\//gm, by: `$1${cache}/` },
  ].reduce((changed, { line, by }) => {
    if (changed.search(line) < 0)
      throw new Error(`The product's dovecot.conf has no line ${line}.`);
    return changed.replace(line, by);
  }, product);
  return variant.encrypted ? text : withoutEncryption(text);
}

/** Every setting of mail_crypt's is a line that has "crypt" in its name. */
function withoutEncryption(text: string): string {
  const isSetting = (line: string) => /^\s*[^#]*crypt[^=]*=/.test(line);
  const lines = text.split("\n");
  for (const setting of ["mail_crypt = yes", "crypt_write_algorithm = "]) {
    if (!lines.some((line) => isSetting(line) && line.includes(setting))) {
      throw new Error(`The product's dovecot.conf has no "${setting}": it stores plain text.`);
    }
  }
  return lines.filter((line) => !isSetting(line)).join("\n");
}
