// Renders Adaptive Cards with Microsoft's own renderer, with sizes and colours of Teams.
//
// The values are those of Microsoft's public samples:
// <https://github.com/microsoft/AdaptiveCards/tree/main/samples/HostConfig>, microsoft-teams-light.json and -dark.json.
import { element } from "./slack.mjs";

const LIGHT = { default: ["#ff252424", "#bf252424"], accent: ["#ff6264a7", "#ff8b8cc7"], attention: ["#ffc4314b", "#e5c4314b"],
  page: "#ffffff", emphasis: "#fff9f8f7" };
const DARK = { default: ["#ffffffff", "#bfffffff"], accent: ["#ffa6a7dc", "#ff8b8cc7"], attention: ["#ffd74654", "#e5d74654"],
  page: "#ff2d2c2c", emphasis: "#ff292828" };
const EITHER = { good: ["#ff92c353", "#e592c353"], warning: ["#fff8d22a", "#e5f8d22a"] };
// The same in both themes, so that they differ from the page.
const TINTED = { accent: "#C7DEF9", good: "#CCFFCC", attention: "#FFC5B2", warning: "#FFE2B2" };

function hostConfiguration(isDark) {
  const theme = { ...(isDark ? DARK : LIGHT), ...EITHER };
  const colours = (text) => {
    const pairs = { default: text, light: DARK.default, dark: LIGHT.default, accent: theme.accent, good: theme.good,
      warning: theme.warning, attention: theme.attention };
    return Object.fromEntries(Object.entries(pairs).map(([name, [strong, subtle]]) => [name, { default: strong, subtle }]));
  };
  const container = (backgroundColor, text) => ({ backgroundColor, foregroundColors: colours(text) });
  const font = (fontFamily) => ({ fontFamily, fontSizes: { small: 12, default: 14, medium: 14, large: 18, extraLarge: 24 },
    fontWeights: { lighter: 200, default: 400, bolder: 600 } });
  const tinted = Object.entries(TINTED).map(([name, colour]) => [name, container(colour, LIGHT.default)]);
  return {
    supportsInteractivity: true,
    spacing: { small: 8, default: 12, medium: 16, large: 20, extraLarge: 24, padding: 16 },
    separator: { lineThickness: 1, lineColor: "#EEEEEE" },
    imageSizes: { small: 32, medium: 52, large: 100 },
    fontTypes: { default: font("'Segoe UI', Tahoma, Geneva, Verdana, sans-serif"), monospace: font("'Courier New', monospace") },
    containerStyles: { default: container(theme.page, theme.default), emphasis: container(theme.emphasis, theme.default),
      ...Object.fromEntries(tinted) },
    actions: { maxActions: 6, spacing: "Default", buttonSpacing: 8, actionsOrientation: "Horizontal", actionAlignment: "Left",
      showCard: { actionMode: "Inline", inlineTopMargin: 16, style: "emphasis" } },
    adaptiveCard: { allowCustomStyle: false },
    factSet: { title: { weight: "Bolder", wrap: true }, value: { wrap: true }, spacing: 16 },
  };
}

export function teamsMessage(body, isDark) {
  const cards = body.attachments.map((attachment) => {
    const card = new AdaptiveCards.AdaptiveCard();
    card.hostConfig = new AdaptiveCards.HostConfig(hostConfiguration(isDark));
    // A link is shown by its title, and followed only by a person's own click.
    card.onExecuteAction = (action) => /^(https|mailto|tel):/.test(action.url ?? "") && open(action.url, "_blank", "noopener");
    card.parse(attachment.content);
    return card.render();
  });
  return element("div", {}, ...cards);
}
