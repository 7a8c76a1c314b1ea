import { Command } from "commander";
import { Interrupted } from "./process.ts";

/** Every command of `npm run sandbox -- …`; those with an npm script of their own stand first. */
function commands(): Command {
  const program = new Command("npm run sandbox --")
    .description("A small cloud on this machine, in which the unmodified program runs.")
    .enablePositionalOptions()
    .showHelpAfterError("`npm run sandbox -- --help` lists the commands.");

  program
    .command("demo")
    .description("set up all, deploy stack dev, send a mail from outside and read it")
    .action(async () => (await import("./commands/demo.ts")).demo());
  program
    .command("test")
    .description("run the tests; all of them without arguments")
    .argument("[suite]", "unit, components or system; or vm, which the others leave out")
    .argument("[files...]", "only those of the suite whose path contains one of these")
    .action(async (suite, files) => {
      const { test } = await import("./commands/test.ts");
      process.exitCode = await test(suite, files);
    });
  program
    .command("preview")
    .description("show what `up` would change, as the checks of a pull request do")
    .argument("<stack>")
    .action(async (stack) => {
      const { preview } = await import("./commands/preview.ts");
      process.exitCode = await preview(stack);
    });
  program
    .command("mailfruit")
    .description("run `mailfruit ARGS` on a stack's server: mailboxes, aliases, …")
    .usage("[--stack NAME] [args...]")
    .option("-s, --stack <name>", "the stack, if not the one that is selected")
    .argument("[args...]")
    .helpOption(false)
    .passThroughOptions()
    .allowUnknownOption()
    .action(async (args, { stack }) => {
      const { mailfruit } = await import("../admin/mailfruit.ts");
      process.exitCode = await mailfruit(stack, args);
    });
  program
    .command("unlock")
    .description("open the encrypted volume of a stack's server, after a boot")
    .usage("[STACK]")
    .argument("[stack]", "the stack, if not the one that is selected")
    .action(async (stack) => {
      const { unlock } = await import("../admin/unlock.ts");
      process.exitCode = await unlock(stack);
    });
  for (const [name, description] of [
    ["bench", "measure an `up` against bare apt, or with `mail` encrypted mail against plain"],
    ["scan", "compare what scanners see of a mailfruit and of a plain Debian"],
    ["docs", "write the generated parts of docs/ anew"],
    ["lint", "check format, style, types and shell scripts"],
  ] as const) {
    program
      .command(name)
      .description(description)
      .argument("[args...]")
      .passThroughOptions()
      .allowUnknownOption()
      .action(async (args) => {
        const { scripts } = await import("./commands/scripts.ts");
        process.exitCode = await scripts[name](args);
      });
  }

  program
    .command("setup")
    .description("make all that the sandbox needs, start nothing")
    .action(async () => (await import("./commands/setup.ts")).setupOnly());
  program
    .command("up")
    .description("start the cloud, with the guests that were on")
    .action(async () => (await import("./commands/up.ts")).up());
  program
    .command("status")
    .description("what is in use, what runs where")
    .action(async () => (await import("./commands/status.ts")).status());
  program
    .command("shell")
    .description("a root shell in a guest, or one command: shell GUEST -- CMD")
    .usage("[guest] [-- command...]")
    .argument("[guest]", "its name or a part of it; needed where there are several")
    .argument("[command...]")
    .passThroughOptions()
    .action(async () => {
      const { shell } = await import("./commands/shell.ts");
      process.exitCode = await shell(process.argv.slice(3)); // commander takes the "--" away
    });
  program
    .command("logs")
    .description("a guest's journal, or the cloud's log")
    .argument("[guest]", "a guest's name or a part of it, or `cloud`")
    .option("-f, --follow", "go on with what comes")
    .action(async (guest, options) => {
      const { logs } = await import("./commands/logs.ts");
      process.exitCode = await logs(guest, options);
    });
  program
    .command("down")
    .description("stop all guests and the cloud, take the network away; what is on disk stays")
    .option("--all", "remove what is on disk as well: guests, stacks, image, engine")
    .action(async (options) => (await import("./commands/down.ts")).down(options));
  program
    .command("env")
    .description("print the variables that point a pulumi of your own at the sandbox")
    .action(async () => (await import("./commands/env.ts")).env());
  program
    .command("pulumi")
    .description("run the sandbox's engine, on stack dev unless -s says another")
    .argument("[args...]")
    .helpOption(false)
    .passThroughOptions()
    .allowUnknownOption()
    .action(async (args) => {
      const { pulumi } = await import("./commands/pulumi.ts");
      process.exitCode = await pulumi(args);
    });
  return program;
}

try {
  await commands().parseAsync();
} catch (error) {
  if (error instanceof Interrupted) {
    console.error(error.message);
    process.exitCode = error.exitCode;
  } else {
    // A sentence of ours says it all; what nobody foresaw needs the place where it happened.
    const foreseen =
      error instanceof Error && ["Error", "PulumiError"].includes(error.constructor.name);
    console.error(foreseen ? error.message : error);
    process.exitCode = 1;
  }
}
