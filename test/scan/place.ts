import { connect, type Socket } from "node:net";
import { connectByTor, type TorProxy } from "../../admin/tor-proxy.ts";

/** A mail server as somebody without rights on it meets it. */
export interface Place {
  /** Its own names, as in greetings and certificates. */
  names: string[];
  /** The name that a client asks for at a port (SNI). */
  servername: (port: number) => string;
  mailDomain: string;
  /** Where each port is reached: an address, or an onion name of that port's service. */
  host: (port: number) => string;
  connect: (port: number) => Promise<Socket>;
  login: { address: string; password: string };
}

type User = Pick<Place, "mailDomain" | "login">;

/** A server that is reached in the clear. */
export function inTheClear(address: string, hostname: string, user: User): Place {
  return {
    ...user,
    names: [hostname],
    servername: () => hostname,
    host: () => address,
    connect: (port) => directly(address, port),
  };
}

/** A server's onion services by a SOCKS proxy; `onion` has their names by service. */
export function byOnion(proxy: TorProxy, onion: Record<string, string>, user: User): Place {
  const name = (port: number) => {
    const service = port === 25 ? "smtp" : port === 22 ? "ssh" : "users";
    const found = onion[service];
    if (found === undefined) throw new Error(`there is no onion service ${service}`);
    return found;
  };
  return {
    ...user,
    names: Object.values(onion),
    servername: name,
    host: name,
    connect: (port) => connectByTor({ host: name(port), port }, { proxy }),
  };
}

function directly(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: 10_000 });
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
    socket.once("timeout", () => socket.destroy(new Error(`${host} port ${port}: no answer`)));
  });
}

/** Takes out of what a server says what every server has for itself: names, numbers and the time that it took. */
export function withoutNames(place: Place, text: string): string {
  const named = place.names.reduce((all, name) => all.replaceAll(name, "HOST"), text);
  return named
    .replaceAll(place.mailDomain, "DOMAIN")
    .replaceAll(/(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)/g, "ADDRESS")
    .replaceAll(/queued as \w+/g, "queued as ID")
    .replaceAll(/<[\w+/=]{12,}>/g, "<SESSION>")
    .replaceAll(/\((?:\d+\.\d{3} \+ )+\d+\.\d{3} secs\)/g, "(TIME)")
    .replaceAll("\r", "");
}
