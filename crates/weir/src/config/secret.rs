//! Where an upstream's key comes from: an environment variable, its `…_FILE` twin, or a file. Never from the configuration itself.

use std::{fs::File, io::Read, path::Path};

use weir_core::ApiKey;

use super::Channel;
use crate::lang::{Text, text};

/// Keys are shorter; what is longer is another file.
const MAX_FILE_BYTES: u64 = 4096;

/// Why a key cannot be had. Says the place, never the content.
#[derive(Debug)]
pub(crate) struct SecretFault {
    /// The key path below the channel, with its dot.
    pub(crate) below: &'static str,
    pub(crate) why: Text,
    pub(crate) hint: Text,
}

/// Reads the key of `channel`; `None` if its upstream wants none.
pub(crate) fn read(channel: &Channel, variables: &[(String, String)]) -> Result<Option<ApiKey>, SecretFault> {
    match (&channel.key_env, &channel.key_file, channel.no_key) {
        (Some(name), None, false) => from_variable(name, variables).map(Some),
        (None, Some(path), false) => from_file(path, ".key_file").map(Some),
        (None, None, true) => Ok(None),
        _ => Err(SecretFault {
            below: "",
            why: text!("key_env、key_file、no_key = true 要写一个且只写一个", "needs exactly one of key_env, key_file and no_key = true"),
            hint: text!("例如 key_env = \"OPENAI_API_KEY\"", "such as key_env = \"OPENAI_API_KEY\""),
        }),
    }
}

/// Reads the key that the variable `name`, or the file that `name`_FILE names, holds.
pub(crate) fn from_variable(name: &str, variables: &[(String, String)]) -> Result<ApiKey, SecretFault> {
    let value =
        |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty());
    if let Some(key) = value(name) {
        return parse(key, ".key_env");
    }
    if let Some(path) = value(&format!("{name}_FILE")) {
        return from_file(Path::new(path), ".key_env");
    }
    // A name that is a key by mistake must not be repeated.
    let plain = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let (why, hint) = if plain {
        (
            text!("环境变量 {name} 没有设置", "the environment variable {name} is not set"),
            text!("先执行 export {name}=…,或用 {name}_FILE 指向文件", "export {name}=… first, or name a file in {name}_FILE"),
        )
    } else {
        (
            text!("这里写环境变量的名字,不写密钥本身", "is the name of an environment variable, not a secret"),
            text!(
                "例如 key_env = \"OPENAI_API_KEY\";若写进过真实密钥,请更换它",
                "such as key_env = \"OPENAI_API_KEY\"; if a real key stood here, replace it"
            ),
        )
    };
    Err(SecretFault { below: ".key_env", why, hint })
}

fn from_file(path: &Path, below: &'static str) -> Result<ApiKey, SecretFault> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    if let Err(error) = read {
        let shown = path.display();
        return Err(SecretFault {
            below,
            why: text!("读不了 {shown}:{error}", "cannot read {shown}: {error}"),
            hint: text!("文件里只放密钥一行", "the file holds the key alone, on one line"),
        });
    }
    parse(text.trim(), below)
}

fn parse(key: &str, below: &'static str) -> Result<ApiKey, SecretFault> {
    ApiKey::parse(key).map_err(|error| SecretFault {
        below,
        why: text!("密钥的样子不对:{error}", "holds no proper key: {error}"),
        hint: text!("重新复制,只要密钥本身", "copy it again, the key alone"),
    })
}
