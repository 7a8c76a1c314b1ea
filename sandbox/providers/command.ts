/**
 * Stand-in for the plugin of `@pulumi/command` 1.2.1, where the real one can't be installed:
 * `remote.Command`. Behaviour and messages are those of pulumi/pulumi-command v1.2.1.
 */
import { messageOf } from "./command/messages.ts";
import { remoteCommand } from "./command/remote-command.ts";
import { packageSchema, serve } from "./kit.ts";

await serve({
  schema: await packageSchema("command"),
  secrecy: "same name",
  messages: messageOf,
  resources: { "command:remote:Command": remoteCommand },
});
