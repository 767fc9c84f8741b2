//! What an error advises beside what it says: links, offers, whom to ask. "Upgrade for higher limits" is no empty balance, and who asks
//! how to top up has none either. Rules look first at what is left without such clauses.

/// Words that may stand before an advice and change nothing about it.
const FILLERS: [&str; 29] = [
    "please ",
    "kindly ",
    "and ",
    "or ",
    "then ",
    "also ",
    "but ",
    "otherwise ",
    "alternatively ",
    "simply ",
    "just ",
    "you can ",
    "you may ",
    "you could ",
    "you should ",
    "we recommend ",
    "you might want to ",
    "consider ",
    "try to ",
    "either ",
    "请",
    "您",
    "你",
    "可以",
    "可",
    "建议",
    "欢迎",
    "也",
    "先",
];

/// Most fillers before an advice.
const MAX_FILLERS: usize = 4;

/// How an advice begins, behind the fillers.
const ADVICE: [&str; 113] = [
    "see http",
    "see our ",
    "see the ",
    "see: ",
    "see also",
    "visit",
    "refer to",
    "go to ",
    "head to",
    "check out",
    "check your plan",
    "check our ",
    "check http",
    "check the doc",
    "view ",
    "read more",
    "read the ",
    "read our ",
    "learn ",
    "contact",
    "reach out",
    "email us",
    "email support",
    "e-mail us",
    "upgrade",
    "upgrading",
    "top up",
    "top-up",
    "topup",
    "topping up",
    "recharge",
    "purchase",
    "purchasing",
    "buy ",
    "buying ",
    "subscribe to",
    "add credit",
    "add more ",
    "add fund",
    "add a payment",
    "add a card",
    "add billing",
    "increase your",
    "increase the quota",
    "increase the limit",
    "raise your",
    "request a ",
    "request an ",
    "request access",
    "request higher",
    "request more",
    "apply for",
    "enable billing",
    "manage it",
    "manage your",
    "configure ",
    "join ",
    "follow the",
    "follow our",
    "ask your ",
    "log in",
    "log into",
    "login to",
    "sign up",
    "switch to",
    "for more",
    "for further",
    "for detail",
    "for additional",
    "for help",
    "for higher",
    "for full",
    "for assistance",
    "for support",
    "to learn",
    "to increase",
    "to raise",
    "to get ",
    "to request",
    "to upgrade",
    "to unlock",
    "to lift",
    "to monitor",
    "to view",
    "to manage",
    "to continue",
    "to obtain",
    "to avoid",
    "to remove",
    "if you",
    "if this",
    "if the ",
    "if it",
    "need more",
    "need higher",
    "need help",
    "want more",
    "want higher",
    "looking for",
    "more info",
    "documentation",
    "docs:",
    "tip:",
    "hint:",
    "did you mean",
    "this may ",
    "this might ",
    "it may ",
    "it might ",
    "maybe ",
    "perhaps ",
    "probably ",
    "possible cause",
];

/// The same in Chinese.
const ADVICE_ZH: [&str; 39] = [
    "前往",
    "访问http",
    "访问 http",
    "访问官网",
    "参考",
    "参阅",
    "参见",
    "查看",
    "查阅",
    "详见",
    "详情",
    "联系",
    "咨询",
    "登录控制台",
    "登录官网",
    "升级套餐",
    "升级到",
    "升级为",
    "升级至",
    "升级您",
    "升级会员",
    "充值",
    "购买",
    "续费",
    "续订",
    "提升",
    "申请",
    "点击",
    "加入",
    "关注",
    "扫码",
    "如需",
    "如有",
    "如果",
    "若",
    "去控制台",
    "到控制台",
    "在控制台",
    "可能",
];

/// How a question begins.
const ASKING: [&str; 22] = [
    "how do ",
    "how can ",
    "how to ",
    "how much ",
    "how many ",
    "where do ",
    "where can ",
    "what is ",
    "what do ",
    "can i ",
    "could i ",
    "can we ",
    "do i ",
    "should i ",
    "请问",
    "想问",
    "怎么",
    "如何",
    "怎样",
    "哪里",
    "能不能",
    "为什么",
];

/// What a clause of an error is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    Says,
    Advises,
    Asks,
}

/// The evidence in two parts: without its advice and questions, and without its questions only. `None`: there is nothing of the kind.
pub(super) fn without_advice(evidence: &str) -> Option<(String, String)> {
    let (mut said, mut told) = (String::with_capacity(evidence.len()), String::with_capacity(evidence.len()));
    let mut from = 0;
    while from < evidence.len() {
        let end = clause_end(evidence, from);
        let clause = &evidence[from..end];
        match what(clause) {
            Clause::Says => {
                said.push_str(clause);
                told.push_str(clause);
            }
            of => {
                // What separates fields and lines stays, so that nothing is joined that was apart.
                let rest =
                    clause.rfind(|c: char| !matches!(c, '"' | '\n')).map_or(clause, |at| &clause[clause.ceil_char_boundary(at + 1)..]);
                let lead = &clause[..clause.len() - clause.trim_start_matches(['"', '\n']).len()];
                said.extend([lead, rest]);
                if of == Clause::Advises {
                    told.push_str(clause);
                } else {
                    told.extend([lead, rest]);
                }
            }
        }
        from = end;
    }
    (said.len() < evidence.len()).then_some((said, told))
}

/// Behind the mark that ends the clause that begins at `from`.
fn clause_end(text: &str, from: usize) -> usize {
    let mut chars = text[from..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let ends = match c {
            '\n' | '。' | '！' | '？' | '；' | '，' => true,
            '.' | '!' | '?' | ';' | ',' => next.is_none_or(|next| next.is_whitespace() || next == '"'),
            '-' | '–' | '—' => next == Some(' ') && text[..from + at].ends_with(' '),
            _ => false,
        };
        if ends {
            let mut end = from + at + c.len_utf8();
            // The quote that closes the field belongs to its last clause.
            if next == Some('"') {
                end += 1;
            }
            return end;
        }
    }
    text.len()
}

fn what(clause: &str) -> Clause {
    let bare = clause.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ')' | '*'));
    let asks = bare.ends_with(['?', '？', '吗'])
        || bare.ends_with("吗?")
        || bare.ends_with("吗？")
        || ASKING.iter().any(|ask| bare.starts_with(ask));
    if asks {
        return Clause::Asks;
    }
    let mut rest = bare;
    // Fillers are short and few; more of them are no advice.
    for _ in 0..=MAX_FILLERS {
        if ADVICE.iter().chain(&ADVICE_ZH).any(|advice| rest.starts_with(advice)) {
            return Clause::Advises;
        }
        let Some(after) = FILLERS.iter().find_map(|filler| rest.strip_prefix(filler)) else { break };
        rest = after.trim_start();
    }
    Clause::Says
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_advises_is_told_from_what_it_says() {
        let table = [
            ("\"too many requests. to increase your quota, see https://a.example/b?c=d to top up.\"\n", "\"too many requests.\"\n"),
            ("\"rate limit reached, please upgrade to pro\"\n", "\"rate limit reached,\"\n"),
            ("\"请求过于频繁，请稍后再试。如需提升限额，请前往控制台充值\"\n", "\"请求过于频繁，请稍后再试。\"\n"),
            ("\"need more tokens? upgrade today\"\n\"429\"\n", "\"\"\n\"429\"\n"),
        ];
        for (text, said) in table {
            assert_eq!(without_advice(text).map(|(said, _)| said).as_deref(), Some(said), "{text}");
        }
        assert_eq!(without_advice("\"insufficient balance\"\n"), None);
    }

    #[test]
    fn a_question_is_neither_said_nor_advised() {
        for text in ["how do i top up my account?", "请问怎么充值？", "如何提高配额", "我可以充值吗"] {
            assert_eq!(without_advice(text), Some((String::new(), String::new())), "{text}");
        }
    }
}
