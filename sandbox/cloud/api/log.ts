/** Writes one line to the cloud's log. Tokens and user_data never go in. */
export type Log = (line: string) => void;
