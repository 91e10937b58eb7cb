//! Which process has a card, as far as the kernel tells.

use std::path::Path;

/// The process that keeps others from this image, in words.
pub(super) fn of(path: &Path) -> String {
    known(path).unwrap_or_else(|| "another process".to_owned())
}

/// The number of the process that has this image open as a card, where the kernel tells: Linux lists locks, and names their
/// holders where they are of the same namespace; not on all file systems. `None` says nothing.
#[cfg(target_os = "linux")]
pub fn process(path: &Path) -> Option<u32> {
    use std::os::linux::fs::MetadataExt;
    let image = std::fs::metadata(path).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder(&locks, &place(image.st_dev(), image.st_ino()))
}

/// The number of the process that has this image open as a card, where the kernel tells: here it does not.
#[cfg(not(target_os = "linux"))]
pub const fn process(_: &Path) -> Option<u32> {
    None
}

#[cfg(target_os = "linux")]
fn known(path: &Path) -> Option<String> {
    let holder = process(path)?;
    let name = std::fs::read_to_string(format!("/proc/{holder}/comm")).ok()?;
    let line = std::fs::read(format!("/proc/{holder}/cmdline")).unwrap_or_default();
    Some(format!("process {holder} ({}{})", name.trim().escape_debug(), subcommands(&line)))
}

/// The names of subcommands at the beginning of a command line of proc_pid_cmdline(5), each after a space. Nothing that
/// may be a value: those can be secret.
#[cfg(target_os = "linux")]
fn subcommands(line: &[u8]) -> String {
    let is_name = |word: &&[u8]| {
        !word.starts_with(b"-")
            && word.iter().all(|&octet| octet.is_ascii_lowercase() || octet == b'-')
            && !word.is_empty()
    };
    let words = line.split(|&octet| octet == 0).skip(1).take_while(is_name).take(3);
    words.flat_map(|word| [" ".into(), String::from_utf8_lossy(word)]).collect()
}

#[cfg(not(target_os = "linux"))]
fn known(_: &Path) -> Option<String> {
    None
}

/// A file as the list has it: the device's major and minor number in hexadecimal, the inode. See makedev(3).
#[cfg(target_os = "linux")]
fn place(device: u64, inode: u64) -> String {
    let major = (device >> 8 & 0xFFF) | (device >> 32 & 0xFFFF_F000);
    let minor = (device & 0xFF) | (device >> 12 & 0xFFFF_FF00);
    format!("{major:02x}:{minor:02x}:{inode}")
}

/// The process that has it locked, in a list of proc_locks(5): `1: FLOCK ADVISORY WRITE 1234 fe:00:5742742 0 EOF`.
#[cfg(target_os = "linux")]
fn holder(locks: &str, place: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        // An arrow marks processes that wait for the lock.
        let kind = fields.next()?;
        let holder = fields.nth(2)?.parse().ok().filter(|holder| *holder > 0)?;
        (kind == "FLOCK" && fields.next()? == place).then_some(holder)
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn of_a_command_line_only_the_command_is_told() {
        assert_eq!(subcommands(b"/usr/bin/vuicc\0card\0run\0my.img\0"), " card run");
        assert_eq!(subcommands(b"vuicc\0lpa\0--pin\0secret\0"), " lpa");
        assert_eq!(subcommands(b""), "");
    }

    #[test]
    fn the_list_of_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:42 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 8 fe:00:42 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 0 fe:00:42 0 EOF\n3: FLOCK  ADVISORY  WRITE 1234 fe:00:42 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 9 103:0a:43 0 EOF\nnonsense";
        assert_eq!(holder(locks, &place(0xFE00, 42)), Some(1234));
        assert_eq!(holder(locks, &place(0x1_030A, 43)), Some(9));
        assert_eq!(holder(locks, "fe:00:44"), None);
    }
}
