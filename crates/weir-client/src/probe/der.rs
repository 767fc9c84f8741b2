//! Reads the end of a certificate's life and whether it names itself as its issuer, and nothing else of it.

/// The end of a certificate's life in seconds since 1970. `None` for bytes that are no X.509 certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, validity, _) = element(issuer(certificate)?.1)?;
    let (_, _, end) = element(validity)?;
    let (tag, text, _) = element(end)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

/// Whether a certificate names itself as its issuer.
pub(super) fn is_self_signed(certificate: &[u8]) -> bool {
    let subject = |after: &'_ [u8]| element(element(after)?.2).map(|(_, subject, _)| subject.to_vec());
    issuer(certificate).is_some_and(|(issuer, after)| subject(after).is_some_and(|subject| subject == issuer))
}

/// The name of who issued a certificate, and what follows it: validity, subject.
fn issuer(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // An explicit version may stand in front; then serial, algorithm, issuer.
    if fields.first() == Some(&0xA0) {
        fields = element(fields)?.2;
    }
    for _ in 0..2 {
        fields = element(fields)?.2;
    }
    let (_, issuer, after) = element(fields)?;
    Some((issuer, after))
}

/// Tag, content and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7F);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        (rest[..count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), &rest[count..])
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

/// `UTCTime` (two digits of the year) or `GeneralizedTime`, both in UTC.
fn moment(tag: u8, text: &str) -> Option<i64> {
    let text = match tag {
        0x17 => format!("{}{text}", if text.get(..2)?.parse::<u8>().ok()? >= 50 { "19" } else { "20" }),
        0x18 => text.to_owned(),
        _ => return None,
    };
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    // Days since 1970 of the civil calendar, counted in years that begin in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_time_are_read() {
        assert_eq!(moment(0x17, "700101000000Z"), Some(0));
        assert_eq!(moment(0x17, "261123165545Z"), Some(1_795_452_945));
        assert_eq!(moment(0x18, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(moment(0x18, "20000229235959Z"), Some(951_868_799));
        for bad in ["", "20001399", "2000010100000Z", "20001301000000Z", "密"] {
            assert_eq!(moment(0x18, bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for bytes in [&b""[..], b"\x30", b"\x30\x05\x30\x03", b"\x30\x84\xFF\xFF\xFF\xFF", b"hello, certificate"] {
            assert_eq!((not_after(bytes), is_self_signed(bytes)), (None, false));
        }
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        assert!(roots.iter().all(|root| not_after(root).is_some_and(|end| end > 1_700_000_000)), "every root has one");
        assert!(roots.iter().all(|root| is_self_signed(root)), "and nobody above it");
    }
}
