//! Writes include/sock.h from src/ffi and gives the shared library its name.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files of the C API, in the order the header presents them.
const API: [&str; 10] = [
    "src/ffi/handle.rs",
    "src/ffi/error.rs",
    "src/ffi/options.rs",
    "src/ffi/address.rs",
    "src/ffi/stream.rs",
    "src/ffi/datagram.rs",
    "src/ffi/local.rs",
    "src/ffi/poller.rs",
    "src/ffi/server.rs",
    "src/ffi/about.rs",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    println!("cargo::rerun-if-changed=include/sock.h");
    write_header();
    name_library();
}

fn write_header() {
    let mut config = cbindgen::Config::from_file("cbindgen.toml").expect("cbindgen.toml");
    let after_includes = config.after_includes.take().unwrap_or_default();
    config.after_includes = Some(format!("{}{after_includes}", version_macros()));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in API {
        println!("cargo::rerun-if-changed={file}");
        builder = builder.with_src(file);
    }
    let mut text = Vec::new();
    builder.generate().expect("the C API").write(&mut text);
    // An equal file is left alone, so that a read-only source tree builds.
    if fs::read("include/sock.h").is_ok_and(|old| old == text) {
        return;
    }
    fs::write("include/sock.h", text).expect("write include/sock.h");
}

fn version_macros() -> String {
    let part = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}")).expect("set by cargo");
    let (major, minor, patch) = (part("MAJOR"), part("MINOR"), part("PATCH"));
    format!(
        "\n/** The version of this header; sock_version() gives the library's. */\n\
         #define SOCK_VERSION_MAJOR {major}\n\
         #define SOCK_VERSION_MINOR {minor}\n\
         #define SOCK_VERSION_PATCH {patch}\n\
         #define SOCK_VERSION \\\n    ((SOCK_VERSION_MAJOR << 16) | (SOCK_VERSION_MINOR << 8) | SOCK_VERSION_PATCH)\n\
         #define SOCK_VERSION_TEXT \"{major}.{minor}.{patch}\"\n"
    )
}

/// SONAME, and the link by that name beside the library, without which programs run from the build tree would not find it.
fn name_library() {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let major = env::var("CARGO_PKG_VERSION_MAJOR").expect("set by cargo");
    let soname = format!("libsock.so.{major}");
    // GNU ld drops the panic machinery that lld keeps; nodelete, because threads may still run our code after dlclose.
    for argument in ["-fuse-ld=bfd", &format!("-Wl,-soname,{soname}"), "-Wl,-z,nodelete", "-Wl,-z,relro,-z,now"] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
    let Some(folder) = out.ancestors().nth(3) else {
        return;
    };
    let link = folder.join(&soname);
    if fs::symlink_metadata(&link).is_err() {
        std::os::unix::fs::symlink(Path::new("libsock.so"), &link).expect("link by SONAME");
    }
}
