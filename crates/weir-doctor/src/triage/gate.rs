//! Whether a person tells of a fault at all, or only asks, wishes or thanks: a question is no evidence.

use super::{
    pattern::{is_in, pattern},
    sign::Folded,
};

pattern!(BORDER, r"[。!?;]+|\.(?: |$)");
pattern!(
    ASKS,
    r"\?\s*$|^\W*(?:hi|hello|hey)?,? ?(?:how|what|which|where|when|who|can|could|do|does|did|is|are|will|would|should|may|any (?:plans?|way|chance))\b|^(?:请问|想问|问一?下|咨询)|怎么|如何|怎样|是否|能否|可否|有没有|会不会|能不能|可不可以|是不是|多少|多久|哪(?:里|个|些|种|家|儿)|什么(?:[^都也 ]|$)|吗|呢$|么$|几(?:点|号|块钱)"
);
pattern!(
    WISHES,
    r"希望|建议|^想|想要|求(?:支持|加|个)|期待|盼|能否(?:加|支持|增加)|可以(?:加|增加|支持|考虑)|允许用户|feature request|would (?:be|love|like)|please (?:add|support|consider)|it'?d be|wish|looking forward|\[feature"
);
pattern!(
    CHATS,
    r"^\W*$|谢谢|感谢|多谢|thank|你好|您好|在吗|^\W*(?:hi|hello|hey|help|please help)\W*$|麻烦|大佬|辛苦|appreciat|just (?:curious|asking|wondering)|nothing is (?:broken|wrong)|no (?:rush|hurry|problem|urgency)|not a (?:bug|problem|complaint)|只是好奇|好奇|随便问|没出(?:问题|错)|不急|没有?(?:故障|问题)"
);
pattern!(
    SUPPOSES,
    r"(?:\bif\b|in case|suppose|should .{0,24} ever|如果|假如|万一|要是|的话|失败了?的?请求).*(?:\?|吗|怎么办|会不会|会怎|怎样)|what happens|怎么办"
);
pattern!(
    LIVED,
    r"报错|报了|报 ?\d|出现|遇到|收到|返回|提示|显示|总(?:是|会)|一直|老是|老|每次|突然|刚(?:才|刚)|今天|昨天|现在|为什么|为啥|怎么(?:会|又|老|总|一直|突然|就|还|不|没|都|全)|不(?:行|动|到|出|上)|还是(?:扣|计|收|报|断|超|不|没|失|出)|居然|竟然|反而|照样|却|太(?:短|慢|低|小|长|久|少)|没(?:有)?(?:反应|收到|返回|输出|结果|反馈)|了(?:[,。!?吗 ]|$)|[扣断败时挂卡停坏]了|被(?:扣|断|限|封|拒|截|拦)|\b(?:i|we)(?:'m|'ve| am| have| was| were| get| got| see| saw| keep| hit| receiv\w*| sent| tried| ran| surely| made)\b|\bmy [a-z ]{2,24} (?:is|was|keeps?|fails?|says?|gets?|stops?|has|hangs?|dies)\b|\bkeeps?\b|\b(?:has|have|had|\w+\x27s|\w+\x27ve) been\b|too (?:low|short|slow|small|long)|always|every time|suddenly|since (?:yesterday|today|this|the)|returned|failed|stopped|\bgot\b|was (?:cut|charged|billed)|\bwhy\b|\b(?:answers?|returns?|says?|gives?|shows?) (?:a |an |me )?[45]\d\d"
);
pattern!(
    POLITE,
    r"\b(?:how|where|when|what|why not)? ?(?:do|does|can|could|should|may|would|will|did) (?:i|we) (?:get|see|keep|receive|have|make)\b|(?:failed|cancell?ed|rejected|refused|timed[- ]out|stopped) (?:requests?|calls?|tasks?|jobs?|attempts?|videos?|images?)|使用了?|为了|除了|[断败时消停]了?(?:之后|以后|的)"
);
pattern!(
    SOLVED,
    r"已(?:经)?解决|解决了|恢复(?:正常)?了|正常了|没问题了|可以了|能用了|works? (?:now|great|again|perfectly|fine now)|all (?:good|fine)(?: now)?|(?:is|been|was|now) (?:fixed|solved|resolved)|(?:that|this|it|which) (?:fixed|solved|resolved)|problem (?:is )?gone"
);
pattern!(
    YET,
    r"但|可是|不过|却|仍|又|就|还是|关|换|直连|but|however|still|yet|except|until|when|after|without|only|direct|disabl|turn|off\b|again later"
);

/// A solved problem is told in few words, in characters.
const SOLVED_CHARS: usize = 120;

/// Nothing in this text says that something went wrong: every sentence asks, wishes, thanks or supposes.
pub(super) fn tells_no_fault(text: &Folded) -> bool {
    let text = text.as_str();
    if text.chars().count() <= SOLVED_CHARS && is_in(&SOLVED, text) && !is_in(&YET, text) {
        return true;
    }
    let Some(border) = BORDER.as_ref() else { return false };
    let mut from = 0;
    let mut asked = false;
    for end in border.find_iter(text).map(|found| found.end()).chain([text.len()]) {
        let sentence = text[from..end].trim();
        from = end;
        if sentence.is_empty() || is_in(&CHATS, sentence) && !is_in(&LIVED, sentence) {
            continue;
        }
        let polite = POLITE.as_ref().map(|polite| polite.replace_all(sentence, " "));
        let has_lived = is_in(&LIVED, polite.as_deref().unwrap_or(sentence));
        if !(is_in(&ASKS, sentence) || is_in(&WISHES, sentence)) || has_lived && !is_in(&SUPPOSES, sentence) {
            return false;
        }
        asked = true;
    }
    asked
}
