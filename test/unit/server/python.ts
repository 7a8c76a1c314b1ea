import { spawnSync } from "node:child_process";

/** A sentence where Debian's Python lacks a module, to skip a test with; false where it has it. */
export function pythonLacks(module: string, debianPackage: string): string | false {
  const found = spawnSync("/usr/bin/python3", ["-c", `import ${module}`]).status === 0;
  return found ? false : `This machine has no ${debianPackage}: apt-get install ${debianPackage}.`;
}

/** A sentence where a program is missing, to skip a test with; false where it is there. */
export function missing(program: string, debianPackage: string): string | false {
  const found = spawnSync("/bin/sh", ["-c", 'command -v "$1"', "sh", program]).status === 0;
  return found ? false : `This machine has no ${program}: apt-get install ${debianPackage}.`;
}
