//! The languages of the page: each block of code is run on every case by a few lines around it.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cases;

/// One language.
pub(crate) struct Language {
    /// After the fence.
    name: &'static str,
    /// Says that it is installed.
    probe: &'static [&'static str],
    /// The file that the code is written to.
    file: &'static str,
    /// The file that feeds it, a line of hex per case, and answers `true` or `false` for each.
    driver: (&'static str, &'static str),
    /// Runs the driver.
    run: &'static [&'static str],
}

pub(crate) const PYTHON: Language = Language {
    name: "python",
    probe: &["python3", "--version"],
    file: "webhooks.py",
    driver: (
        "driver.py",
        r"import sys
from webhooks import verify
for line in sys.stdin:
    secret, id, at, signature, body, now = [bytes.fromhex(field) for field in line.strip().split(',')]
    text = [field.decode() for field in (secret, id, at, signature)]
    print('true' if verify(*text, body, float(now)) else 'false')
",
    ),
    run: &["python3", "driver.py"],
};

pub(crate) const JAVASCRIPT: Language = Language {
    name: "javascript",
    probe: &["node", "--version"],
    file: "webhooks.mjs",
    driver: (
        "driver.mjs",
        r#"import { readFileSync } from "node:fs";
import { verify } from "./webhooks.mjs";
for (const line of readFileSync(0, "utf8").trimEnd().split("\n")) {
  const fields = line.split(",").map((field) => Buffer.from(field, "hex"));
  const [secret, id, at, signature] = fields.slice(0, 4).map(String);
  console.log(verify(secret, id, at, signature, fields[4], Number(fields[5])));
}
"#,
    ),
    run: &["node", "driver.mjs"],
};

pub(crate) const JAVA: Language = Language {
    name: "java",
    probe: &["javac", "-version"],
    file: "Webhooks.java",
    driver: (
        "Driver.java",
        r#"import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Scanner;

final class Driver {
  public static void main(String[] none) throws Exception {
    Scanner lines = new Scanner(System.in);
    while (lines.hasNextLine()) {
      String[] hex = lines.nextLine().split(",", -1);
      String[] text = new String[hex.length];
      for (int i = 0; i < hex.length; i++) {
        text[i] = new String(HexFormat.of().parseHex(hex[i]), StandardCharsets.UTF_8);
      }
      byte[] body = HexFormat.of().parseHex(hex[4]);
      System.out.println(Webhooks.verify(text[0], text[1], text[2], text[3], body, Long.parseLong(text[5])));
    }
  }
}
"#,
    ),
    run: &["sh", "-c", "javac Webhooks.java Driver.java && java Driver"],
};

pub(crate) const GO: Language = Language {
    name: "go",
    probe: &["go", "version"],
    file: "webhooks.go",
    driver: (
        "driver.go",
        r#"package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var fields [6][]byte
		for i, field := range strings.Split(lines.Text(), ",") {
			fields[i], _ = hex.DecodeString(field)
		}
		now, _ := strconv.ParseInt(string(fields[5]), 10, 64)
		fmt.Println(verify(string(fields[0]), string(fields[1]), string(fields[2]), string(fields[3]), fields[4], now))
	}
}
"#,
    ),
    run: &["go", "run", "webhooks.go", "driver.go"],
};

impl Language {
    /// Runs the page's code on every case, where the language is installed.
    pub(crate) async fn holds(&self, page: &str) {
        let code = self.code(page);
        let (program, words) = self.probe.split_first().unwrap();
        let installed = Command::new(program).args(words).output().await;
        if !installed.is_ok_and(|output| output.status.success()) {
            eprintln!(
                "{program} is not installed: the page's {} is not tried",
                self.name
            );
            return;
        }
        let dir = TempDir::with_prefix("receiving-").unwrap();
        let (driver, text) = self.driver;
        std::fs::write(dir.path().join(self.file), code).unwrap();
        std::fs::write(dir.path().join(driver), text).unwrap();
        let cases = cases::all();
        let input: String = cases.iter().map(|case| case.line() + "\n").collect();
        let answers = self.answers(&dir, &input).await;
        assert_eq!(answers.lines().count(), cases.len(), "{answers}");
        for (case, answer) in cases.iter().zip(answers.lines()) {
            assert_eq!(
                answer,
                case.is_ours.to_string(),
                "{}: {}",
                self.name,
                case.about
            );
        }
    }

    async fn answers(&self, dir: &TempDir, input: &str) -> String {
        let (program, words) = self.run.split_first().unwrap();
        let mut child = Command::new(program)
            .args(words)
            .current_dir(dir.path())
            .env("GOCACHE", dir.path().join("cache"))
            .env("GO111MODULE", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{}: {}", self.name, output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one block of code of this language.
    fn code<'a>(&self, page: &'a str) -> &'a str {
        let fence = format!("```{}\n", self.name);
        let mut blocks = page.split(fence.as_str()).skip(1);
        let block = blocks.next().expect("there is one");
        assert!(blocks.next().is_none(), "there is only one");
        block.split("```").next().unwrap()
    }
}
