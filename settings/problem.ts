/** What is wrong with a setting, and the command that mends it. */
export interface Problem {
  key: string;
  message: string;
  mend: string;
}

/** Keys in a stack's file can be any text; a mending command is pasted into a shell. */
export const shellWord = (text: string) =>
  /^[\w:.@/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
